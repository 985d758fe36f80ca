package lambdad.runtime;

/** The function cannot be called as it is; the message is its invoker's. */
final class Fault extends RuntimeException {
    static final String HEADER_TYPE = "Runtime.BadFunctionCode";
    private static final long serialVersionUID = 1;

    final String type; // a class's name, or null

    Fault(String message, Throwable cause) {
        super(message, cause);
        this.type = cause == null ? null : cause.getClass().getName();
    }

    /** The function's own exception, as it is. */
    static Fault of(Throwable thrown) {
        return new Fault(StackTraces.message(thrown), thrown);
    }

    /** As AWS logs it. */
    String block() {
        if (type == null) {
            return getMessage() + "\n";
        }
        StackTraces.trim(getCause());
        return getMessage() + ": " + type + "\n" + StackTraces.text(getCause()) + "\n";
    }
}
