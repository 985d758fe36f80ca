package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;

import lambdad.runtime.json.Generics;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.util.Map;

/**
 * From a handler string, "package.Class" or "package.Class::method", to something that can be called.
 *
 * <p>No lambdas here and in what else runs at each start: the first of a process costs a Java without an archive of them 30 ms.
 */
final class HandlerFinder {
    private HandlerFinder() {}

    /** A Fault when the function's own code failed; what is merely not there fails each invocation instead, as on AWS. */
    static Handler find(String name, ClassLoader loader) {
        int colons = name.lastIndexOf("::");
        String className = colons < 0 ? name : name.substring(0, colons);
        String methodName = colons < 0 ? null : name.substring(colons + 2);
        if (className.isEmpty() || methodName != null && methodName.isEmpty()) {
            return failing(new Fault("Invalid handler: `" + name + "'", null));
        }
        Class<?> type;
        try {
            type = Class.forName(className, true, loader);
        } catch (ClassNotFoundException absent) {
            return failing(new Fault("Class not found: " + className, absent));
        } catch (Throwable thrown) { // by a static initializer, or by the virtual machine at a class that is not one
            throw loadingFault(className, thrown);
        }
        try {
            return methodName == null ? ofInterface(type) : MethodHandlers.find(type, methodName);
        } catch (Unusable unusable) {
            return failing(new Fault(unusable.getMessage(), unusable.getCause()));
        } catch (Fault fault) {
            throw fault;
        } catch (Throwable thrown) { // no class that a signature names, or by a serializer
            throw loadingFault(className, thrown);
        }
    }

    private static Fault loadingFault(String className, Throwable thrown) {
        String detail = thrown.getMessage() == null ? "" : ": " + thrown.getMessage();
        return new Fault("Error loading class " + className + detail, thrown);
    }

    private static Handler failing(Fault fault) {
        return new Handler() {
            @Override
            public Body run(byte[] event, InvocationContext context) {
                throw fault;
            }
        };
    }

    private static Handler ofInterface(Class<?> type) throws Unusable {
        if (RequestStreamHandler.class.isAssignableFrom(type)) {
            RequestStreamHandler handler = (RequestStreamHandler) instance(type);
            return new StreamHandler(new StreamHandler.Function() {
                @Override
                public void call(InputStream input, OutputStream output, Context context) throws IOException {
                    handler.handleRequest(input, output, context);
                }
            });
        }
        if (RequestHandler.class.isAssignableFrom(type)) {
            return ofRequestHandler(type);
        }
        throw new Unusable("Class does not implement an appropriate handler interface: " + type.getName(), null);
    }

    @SuppressWarnings("unchecked")
    private static Handler ofRequestHandler(Class<?> type) throws Unusable {
        Map<TypeVariable<?>, Type> bindings = Generics.bindings(type);
        TypeVariable<?>[] parameters = RequestHandler.class.getTypeParameters();
        Type[] types = new Type[2];
        for (int i = 0; i < 2; i++) {
            types[i] = Generics.resolve(parameters[i], bindings);
            if (types[i] instanceof TypeVariable && Generics.rawClass(types[i]) == Object.class) {
                throw new Unusable("Class " + type.getName() + " does not implement RequestHandler with concrete type"
                        + " parameters: parameter " + types[i] + " has no upper bound.", null);
            }
        }
        RequestHandler<Object, Object> handler = (RequestHandler<Object, Object>) instance(type);
        return new ObjectHandler(types[0], types[1], new ObjectHandler.Function() {
            @Override
            public Object call(Object input, Context context) {
                return handler.handleRequest(input, context);
            }
        });
    }

    /** Made when the function is loaded, as on AWS. */
    static Object instance(Class<?> type) throws Unusable {
        try {
            Constructor<?> constructor = type.getConstructor();
            constructor.setAccessible(true); // the class itself need not be public
            return constructor.newInstance();
        } catch (NoSuchMethodException absent) {
            boolean isInner = type.getEnclosingClass() != null && !Modifier.isStatic(type.getModifiers());
            throw isInner
                    ? new Unusable("Class " + type.getName() + " cannot be instantiated because it is a non-static inner class",
                            null)
                    : new Unusable("Class " + type.getName() + " has no public zero-argument constructor", absent);
        } catch (InvocationTargetException thrown) {
            throw Fault.of(thrown.getCause());
        } catch (InstantiationException | IllegalAccessException impossible) { // an abstract class
            throw new Unusable(StackTraces.message(impossible), impossible);
        } catch (RuntimeException | Error thrown) { // a static initializer's
            throw Fault.of(thrown);
        }
    }

    /** The class or method is no handler; nothing of the function's was run. */
    static final class Unusable extends Exception {
        private static final long serialVersionUID = 1;

        Unusable(String message, Throwable cause) {
            super(message, cause);
        }
    }
}
