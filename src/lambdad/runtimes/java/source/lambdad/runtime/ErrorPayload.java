package lambdad.runtime;

import lambdad.runtime.json.JsonWriter;

import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** What the invoker of a failed invocation gets. */
final class ErrorPayload {
    private static final int MAX_CAUSES = 32;

    private ErrorPayload() {}

    static byte[] of(Fault fault) {
        Map<String, Object> payload = new LinkedHashMap<>();
        payload.put("errorMessage", fault.getMessage());
        if (fault.type != null) {
            payload.put("errorType", fault.type);
        }
        return JsonWriter.toBytes(payload);
    }

    static byte[] of(Throwable thrown) {
        return JsonWriter.toBytes(describe(thrown, Collections.newSetFromMap(new IdentityHashMap<>())));
    }

    /** What can be said with little memory and without calling the exception. */
    static byte[] bare(Throwable thrown) {
        String name = thrown.getClass().getName();
        Map<String, Object> payload = new LinkedHashMap<>();
        payload.put("errorMessage", name);
        payload.put("errorType", name);
        return JsonWriter.toBytes(payload);
    }

    private static Map<String, Object> describe(Throwable thrown, Set<Throwable> seen) {
        seen.add(thrown);
        StackTraceElement[] frames = thrown.getStackTrace();
        String[] trace = new String[frames.length];
        for (int i = 0; i < frames.length; i++) {
            trace[i] = frames[i].toString();
        }
        Map<String, Object> payload = new LinkedHashMap<>();
        payload.put("errorMessage", StackTraces.message(thrown));
        payload.put("errorType", thrown.getClass().getName());
        payload.put("stackTrace", trace);
        Throwable cause = thrown.getCause();
        if (cause != null && !seen.contains(cause) && seen.size() < MAX_CAUSES) {
            payload.put("cause", describe(cause, seen));
        }
        return payload;
    }
}
