package example;

import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;
import com.amazonaws.services.lambda.runtime.LambdaRuntimeInternal;

import org.apache.logging.log4j.ThreadContext;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;

/** A function that brings its own reader and writer of JSON, and has the request id put into its logging library. */
public class Libraries implements CustomPojoSerializer {
    static {
        LambdaRuntimeInternal.setUseLog4jAppender(true);
    }

    public String handle(StringBuilder event) {
        return event + " " + ThreadContext.get("AWSRequestId");
    }

    @Override
    @SuppressWarnings("unchecked")
    public <T> T fromJson(InputStream input, Type type) {
        Scanner scanner = new Scanner(input, "UTF-8").useDelimiter("\\A");
        return (T) new StringBuilder("read as " + ((Class<?>) type).getSimpleName() + ": " + scanner.next());
    }

    @Override
    public <T> T fromJson(String input, Type type) {
        throw new UnsupportedOperationException();
    }

    @Override
    public <T> void toJson(T value, OutputStream output, Type type) {
        try {
            output.write(("<" + value + ">").getBytes(StandardCharsets.UTF_8));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
