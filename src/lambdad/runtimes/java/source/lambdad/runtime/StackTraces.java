package lambdad.runtime;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;

/** Exceptions as the function's author knows them: without what called the handler. */
final class StackTraces {
    private static final String OWN = "lambdad.runtime.";

    private StackTraces() {}

    static void trim(Throwable thrown) {
        trim(thrown, Collections.newSetFromMap(new IdentityHashMap<>()));
    }

    private static void trim(Throwable thrown, Set<Throwable> seen) {
        if (thrown == null || !seen.add(thrown)) {
            return;
        }
        StackTraceElement[] frames = thrown.getStackTrace();
        for (int i = 0; i < frames.length; i++) {
            if (frames[i].getClassName().startsWith(OWN)) {
                thrown.setStackTrace(Arrays.copyOf(frames, i));
                break;
            }
        }
        trim(thrown.getCause(), seen);
        for (Throwable suppressed : thrown.getSuppressed()) {
            trim(suppressed, seen);
        }
    }

    /** What an invoker is told: never nothing. */
    static String message(Throwable thrown) {
        String message = thrown.getLocalizedMessage();
        return message == null ? thrown.getClass().getName() : message;
    }

    static String block(Throwable thrown) {
        return message(thrown) + ": " + thrown.getClass().getName() + "\n" + text(thrown) + "\n";
    }

    static String text(Throwable thrown) {
        StringWriter writer = new StringWriter();
        thrown.printStackTrace(new PrintWriter(writer, true));
        return writer.toString();
    }
}
