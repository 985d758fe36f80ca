package lambdad.runtime;

import java.util.Map;

/** What the Runtime API said of an invocation. */
final class Invocation {
    private final Map<String, String> headers;
    private final byte[] event;

    Invocation(Map<String, String> headers, byte[] event) {
        this.headers = headers;
        this.event = event;
    }

    /** By lower-case name; null if it was not sent. */
    String header(String name) {
        return headers.get(name);
    }

    String requestId() {
        return headers.get("lambda-runtime-aws-request-id");
    }

    byte[] event() {
        return event;
    }
}
