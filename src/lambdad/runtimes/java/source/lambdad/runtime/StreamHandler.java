package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;

/** A function of bytes. What it has written when it returns is the result. */
final class StreamHandler implements Handler {
    interface Function {
        void call(InputStream input, OutputStream output, Context context) throws Throwable;
    }

    private final Function function;

    StreamHandler(Function function) {
        this.function = function;
    }

    @Override
    public Body run(byte[] event, InvocationContext context) throws Throwable {
        Body body = new Body(1024);
        function.call(new ByteArrayInputStream(event), body, context);
        return body;
    }
}
