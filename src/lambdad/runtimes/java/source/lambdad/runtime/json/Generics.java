package lambdad.runtime.json;

import java.lang.reflect.Array;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.HashMap;
import java.util.Map;

/** What the type parameters of a type and of all that it extends stand for. */
public final class Generics {
    private Generics() {}

    /** For `class A extends B<C>`, B's parameter to C, and so for every supertype. */
    public static Map<TypeVariable<?>, Type> bindings(Type type) {
        Map<TypeVariable<?>, Type> bindings = new HashMap<>();
        collect(type, bindings);
        return bindings;
    }

    private static void collect(Type type, Map<TypeVariable<?>, Type> bindings) {
        if (type instanceof ParameterizedType) {
            Type[] arguments = ((ParameterizedType) type).getActualTypeArguments();
            TypeVariable<?>[] parameters = rawClass(type).getTypeParameters();
            for (int i = 0; i < parameters.length; i++) {
                bindings.putIfAbsent(parameters[i], resolve(arguments[i], bindings));
            }
        }
        Class<?> raw = rawClass(type);
        if (raw.getGenericSuperclass() != null) {
            collect(raw.getGenericSuperclass(), bindings);
        }
        for (Type implemented : raw.getGenericInterfaces()) {
            collect(implemented, bindings);
        }
    }

    /** The type with every parameter that has a binding replaced; a parameter without one stays. */
    public static Type resolve(Type type, Map<TypeVariable<?>, Type> bindings) {
        if (type instanceof TypeVariable) {
            return bindings.getOrDefault(type, type);
        }
        if (type instanceof WildcardType) {
            return resolve(((WildcardType) type).getUpperBounds()[0], bindings);
        }
        if (type instanceof ParameterizedType) {
            Type[] arguments = ((ParameterizedType) type).getActualTypeArguments();
            for (int i = 0; i < arguments.length; i++) {
                arguments[i] = resolve(arguments[i], bindings);
            }
            return new Parameterized(rawClass(type), arguments);
        }
        if (type instanceof GenericArrayType) {
            Type element = resolve(((GenericArrayType) type).getGenericComponentType(), bindings);
            return Array.newInstance(rawClass(element), 0).getClass();
        }
        return type;
    }

    public static Class<?> rawClass(Type type) {
        if (type instanceof Class) {
            return (Class<?>) type;
        }
        if (type instanceof ParameterizedType) {
            return (Class<?>) ((ParameterizedType) type).getRawType();
        }
        if (type instanceof TypeVariable) {
            return rawClass(((TypeVariable<?>) type).getBounds()[0]);
        }
        if (type instanceof WildcardType) {
            return rawClass(((WildcardType) type).getUpperBounds()[0]);
        }
        Type element = ((GenericArrayType) type).getGenericComponentType();
        return Array.newInstance(rawClass(element), 0).getClass();
    }

    /** What `declared`'s parameter number `index` stands for in `type`: the elements of a List<X> are X. Object if unknown. */
    static Type argument(Type type, Class<?> declared, int index) {
        TypeVariable<?> parameter = declared.getTypeParameters()[index];
        Type argument = resolve(parameter, bindings(type));
        return argument instanceof TypeVariable ? rawClass(argument) : argument;
    }

    private static final class Parameterized implements ParameterizedType {
        private final Class<?> raw;
        private final Type[] arguments;

        Parameterized(Class<?> raw, Type[] arguments) {
            this.raw = raw;
            this.arguments = arguments;
        }

        @Override
        public Type[] getActualTypeArguments() {
            return arguments.clone();
        }

        @Override
        public Type getRawType() {
            return raw;
        }

        @Override
        public Type getOwnerType() {
            return raw.getDeclaringClass();
        }
    }
}
