package lambdad.runtime.json;

/** Text that is no JSON, JSON that does not fit a type, or an object that has no JSON. */
public final class JsonException extends RuntimeException {
    private static final long serialVersionUID = 1;

    JsonException(String message) {
        super(message);
    }

    JsonException(String message, Throwable cause) {
        super(message, cause);
    }
}
