package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;

/** What the first of all places that have a file of this name has in it. */
public class Resources implements RequestHandler<String, String> {
    @Override
    public String handleRequest(String name, Context context) {
        try (BufferedReader reader = new BufferedReader(
                new InputStreamReader(Resources.class.getResourceAsStream("/" + name), StandardCharsets.UTF_8))) {
            return reader.readLine();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
