package lambdad.runtime;

import java.lang.reflect.Field;
import java.util.Map;

/** The variable that functions on Java 8 and 11 find the trace in. Newer ones have only the property: Java closed the way. */
final class OldEnvironment {
    private static final String VARIABLE = "_X_AMZN_TRACE_ID";
    private static final Map<String, String> VARIABLES = writable();

    private OldEnvironment() {}

    static void setTrace(String traceId) {
        if (VARIABLES == null) {
            return;
        }
        if (traceId == null) {
            VARIABLES.remove(VARIABLE);
        } else {
            VARIABLES.put(VARIABLE, traceId);
        }
    }

    /** Null where the Java is too new. The command line opens the package to us on Java 11. */
    @SuppressWarnings("unchecked")
    private static Map<String, String> writable() {
        String version = System.getProperty("java.specification.version", "");
        if (!version.equals("1.8") && !version.equals("11")) {
            return null;
        }
        try {
            Map<String, String> environment = System.getenv();
            Field field = environment.getClass().getDeclaredField("m");
            field.setAccessible(true);
            return (Map<String, String>) field.get(environment);
        } catch (ReflectiveOperationException | RuntimeException closed) {
            return null;
        }
    }
}
