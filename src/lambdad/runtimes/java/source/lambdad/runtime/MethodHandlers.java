package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;

import lambdad.runtime.json.Generics;

import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Handlers that are plain methods. The signatures, `A` being any type but the other three:
 *
 * <pre>
 * (InputStream, OutputStream, Context)  (InputStream, OutputStream)  (InputStream, Context)  (OutputStream, Context)
 * (A, Context)  (InputStream)  (OutputStream)  (Context)  (A)  ()
 * </pre>
 */
final class MethodHandlers {
    /** Of several methods of one name AWS takes the longest, one that ends in a Context before others of its length. */
    private static final Comparator<Method> FIRST_CHOICE = new Comparator<Method>() {
        @Override
        public int compare(Method one, Method other) {
            int byBridge = Boolean.compare(one.isBridge(), other.isBridge());
            return byBridge != 0 ? byBridge : Integer.compare(rank(other), rank(one));
        }
    };

    private MethodHandlers() {}

    static Handler find(Class<?> type, String name) throws HandlerFinder.Unusable {
        List<Method> methods = new ArrayList<>();
        for (Method method : type.getMethods()) {
            if (method.getName().equals(name)) {
                methods.add(method);
            }
        }
        methods.sort(FIRST_CHOICE);
        for (Method method : methods) {
            if (isHandler(method.getParameterTypes())) {
                return of(type, method);
            }
        }
        throw new HandlerFinder.Unusable(
                "No public method named " + name + " with appropriate method signature found on class " + type.getName(), null);
    }

    private static int rank(Method method) {
        Class<?>[] parameters = method.getParameterTypes();
        return parameters.length + (parameters.length > 0 && parameters[parameters.length - 1] == Context.class ? 1 : 0);
    }

    private static boolean isHandler(Class<?>[] types) {
        switch (types.length) {
            case 0:
            case 1:
                return true;
            case 2:
                return types[0] == InputStream.class && types[1] == OutputStream.class
                        || types[0] != Context.class && types[1] == Context.class;
            case 3:
                return types[0] == InputStream.class && types[1] == OutputStream.class && types[2] == Context.class;
            default:
                return false;
        }
    }

    private static Handler of(Class<?> type, Method method) throws HandlerFinder.Unusable {
        Object target = Modifier.isStatic(method.getModifiers()) ? null : HandlerFinder.instance(type);
        method.setAccessible(true); // its class need not be public
        Class<?>[] types = method.getParameterTypes();
        if (types.length > 0 && (types[0] == InputStream.class || types[0] == OutputStream.class)) {
            return new StreamHandler(new StreamHandler.Function() {
                @Override
                public void call(InputStream input, OutputStream output, Context context) throws Throwable {
                    invoke(method, target, arguments(types, input, output, context));
                }
            });
        }
        boolean hasInput = types.length > 0 && types[0] != Context.class;
        Type inputType = hasInput ? Generics.resolve(method.getGenericParameterTypes()[0], Generics.bindings(type)) : null;
        return new ObjectHandler(inputType, method.getGenericReturnType(), new ObjectHandler.Function() {
            @Override
            public Object call(Object input, Context context) throws Throwable {
                return invoke(method, target, arguments(types, input, null, context));
            }
        });
    }

    private static Object[] arguments(Class<?>[] types, Object input, OutputStream output, Context context) {
        Object[] arguments = new Object[types.length];
        for (int i = 0; i < types.length; i++) {
            arguments[i] = types[i] == Context.class ? context : types[i] == OutputStream.class ? output : input;
        }
        return arguments;
    }

    private static Object invoke(Method method, Object target, Object[] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause();
        }
    }
}
