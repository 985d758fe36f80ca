package lambdad.runtime;

import lambdad.runtime.json.JsonReader;
import lambdad.runtime.json.JsonWriter;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Runs many handlers in one process: a line `{"handler": ..., "event": ...}` in, a line `{"result": text}` or `{"error": payload}` out. */
public final class Table {
    public static void main(String[] arguments) throws Exception {
        PrintStream output = System.out;
        ClassLoader classes = FunctionClasses.open(arguments[0], "/none");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Map<?, ?> row = (Map<?, ?>) JsonReader.read(line);
            output.write(JsonWriter.toBytes(run((String) row.get("handler"), (String) row.get("event"), classes)));
            output.write('\n');
        }
        output.flush();
    }

    private static Map<String, Object> run(String handler, String event, ClassLoader classes) {
        Map<String, Object> outcome = new LinkedHashMap<>();
        try {
            Map<String, String> headers = Collections.singletonMap("lambda-runtime-deadline-ms", "1");
            InvocationContext context = new InvocationContext(new Invocation(headers, new byte[0]), null);
            Body body = HandlerFinder.find(handler, classes).run(event.getBytes(StandardCharsets.UTF_8), context);
            outcome.put("result", new String(body.buffer(), 0, body.length(), StandardCharsets.UTF_8));
        } catch (Fault fault) {
            outcome.put("error", JsonReader.read(new String(ErrorPayload.of(fault), StandardCharsets.UTF_8)));
        } catch (Throwable thrown) {
            StackTraces.trim(thrown);
            outcome.put("error", JsonReader.read(new String(ErrorPayload.of(thrown), StandardCharsets.UTF_8)));
        }
        return outcome;
    }
}
