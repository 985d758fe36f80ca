package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;

import java.lang.reflect.Method;

/** Hands the request id to the function's Log4j, if its appender for Lambda has asked for that. */
final class LoggingLibraries {
    private static final String NAME = "AWSRequestId";
    private static Method put;
    private static boolean hasLooked;

    private LoggingLibraries() {}

    static void tell(String requestId) throws ReflectiveOperationException {
        if (!LambdaRuntimeInternal.getUseLog4jAppender()) {
            return;
        }
        if (!hasLooked) {
            hasLooked = true;
            put = find("org.apache.logging.log4j.ThreadContext", String.class);
            if (put == null) {
                put = find("org.apache.log4j.MDC", Object.class);
            }
        }
        if (put != null) {
            put.invoke(null, NAME, requestId);
        }
    }

    private static Method find(String name, Class<?> value) {
        try {
            ClassLoader classes = Thread.currentThread().getContextClassLoader();
            return Class.forName(name, true, classes).getMethod("put", String.class, value);
        } catch (ReflectiveOperationException | LinkageError absent) {
            return null;
        }
    }
}
