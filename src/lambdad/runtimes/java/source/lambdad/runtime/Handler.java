package lambdad.runtime;

/** The function, however it was written: from the bytes of an event to those of a result. */
interface Handler {
    Body run(byte[] event, InvocationContext context) throws Throwable;
}
