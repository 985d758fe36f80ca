package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.CustomPojoSerializer;

import lambdad.runtime.json.Binder;
import lambdad.runtime.json.JsonReader;
import lambdad.runtime.json.JsonWriter;

import java.io.ByteArrayInputStream;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.ServiceLoader;

/** A function of objects: its event is read from JSON to the type that it names, its result written as JSON. */
final class ObjectHandler implements Handler {
    private static final byte[] NULL = "null".getBytes(StandardCharsets.US_ASCII);

    interface Function {
        Object call(Object input, Context context) throws Throwable;
    }

    private final Type inputType; // null for a function that takes none
    private final Type outputType;
    private final boolean hasOutput;
    private final Function function;
    private final CustomPojoSerializer serializer; // the function's own, or null

    ObjectHandler(Type inputType, Type outputType, Function function) throws HandlerFinder.Unusable {
        this.inputType = inputType;
        this.outputType = outputType;
        this.hasOutput = outputType != void.class && outputType != Void.class;
        this.function = function;
        this.serializer = customSerializer();
    }

    @Override
    public Body run(byte[] event, InvocationContext context) throws Throwable {
        Object input = inputType == null ? null : read(event);
        Object result = function.call(input, context);
        return hasOutput ? write(result) : Body.of(NULL);
    }

    private Object read(byte[] event) {
        try {
            if (serializer != null) {
                return serializer.fromJson(new ByteArrayInputStream(event), inputType);
            }
            return Binder.bind(JsonReader.read(new String(event, StandardCharsets.UTF_8)), inputType);
        } catch (RuntimeException error) {
            throw new RuntimeException("An error occurred during JSON parsing", error);
        }
    }

    private Body write(Object result) {
        try {
            if (serializer != null) {
                Body body = new Body(1024);
                serializer.toJson(result, body, outputType);
                return body;
            }
            Body body = new Body(256);
            JsonWriter.write(result, body);
            return body;
        } catch (RuntimeException | StackOverflowError error) {
            throw new RuntimeException("An error occurred during JSON serialization of response", error);
        }
    }

    private static CustomPojoSerializer customSerializer() throws HandlerFinder.Unusable {
        String service = "META-INF/services/" + CustomPojoSerializer.class.getName();
        if (Thread.currentThread().getContextClassLoader().getResource(service) == null) {
            return null; // nearly always, and a ServiceLoader is dear
        }
        Iterator<CustomPojoSerializer> found = ServiceLoader.load(CustomPojoSerializer.class).iterator();
        CustomPojoSerializer first = found.hasNext() ? found.next() : null;
        if (found.hasNext()) {
            throw new HandlerFinder.Unusable(
                    "Too many serializers provided inside the META-INF/services folder, only one is allowed", null);
        }
        return first;
    }
}
