package lambdad.runtime.json;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The properties of a class: public getters and setters, public fields, the components of a record.
 *
 * <p>The order in which they are written is that of the fields, those of the superclasses first.
 */
final class Bean {
    private static final Map<Class<?>, Bean> KNOWN = new ConcurrentHashMap<>();

    static final class Property {
        final String name;
        private Method getter;
        private Method setter;
        private Field field; // a public one, or any of an event's

        Property(String name) {
            this.name = name;
        }

        boolean isReadable() {
            return getter != null || field != null && Modifier.isPublic(field.getModifiers());
        }

        boolean isWritable() {
            return setter != null || field != null;
        }

        Type type() {
            return setter != null ? setter.getGenericParameterTypes()[0] : field.getGenericType();
        }

        Object get(Object bean) {
            try {
                return getter != null ? getter.invoke(bean) : field.get(bean);
            } catch (InvocationTargetException thrown) {
                throw new JsonException(describe(thrown.getCause(), bean), thrown.getCause());
            } catch (IllegalAccessException impossible) {
                throw new JsonException(describe(impossible, bean), impossible);
            }
        }

        void set(Object bean, Object value) {
            try {
                if (setter != null) {
                    setter.invoke(bean, value);
                } else {
                    field.set(bean, value);
                }
            } catch (InvocationTargetException thrown) {
                throw new JsonException(describe(thrown.getCause(), bean), thrown.getCause());
            } catch (IllegalAccessException impossible) {
                throw new JsonException(describe(impossible, bean), impossible);
            }
        }

        private String describe(Throwable thrown, Object bean) {
            return thrown.getMessage() + " (through reference chain: " + bean.getClass().getName() + "[\"" + name + "\"])";
        }
    }

    private final Class<?> type;
    private final Map<String, Property> properties = new LinkedHashMap<>();
    private final Map<String, Property> loosely; // by the loose form of the name; null for a function's own classes
    private Constructor<?> constructor; // null for what cannot be made
    private List<Property> components; // a record's, in the order of its constructor; else null

    static Bean of(Class<?> type) {
        Bean bean = KNOWN.get(type);
        if (bean == null) {
            bean = new Bean(type);
            KNOWN.put(type, bean);
        }
        return bean;
    }

    private Bean(Class<?> type) {
        this.type = type;
        boolean isEvent = EventClasses.contains(type);
        addFields(isEvent);
        addMethods(isEvent);
        for (Iterator<Property> each = properties.values().iterator(); each.hasNext(); ) {
            Property property = each.next();
            if (!property.isReadable() && !property.isWritable()) {
                each.remove();
            }
        }
        if (isRecord()) {
            addRecord();
        } else {
            constructor = isEvent ? EventClasses.constructor(type) : plainConstructor();
        }
        loosely = isEvent ? EventClasses.byLooseName(properties) : null;
    }

    Collection<Property> properties() {
        return properties.values();
    }

    /** Null if there is none. */
    Property property(String name) {
        Property property = properties.get(name);
        return loosely != null && (property == null || !property.isWritable()) ? EventClasses.find(loosely, name) : property;
    }

    List<Property> components() {
        return components;
    }

    Object make() {
        return make(constructor == null ? new Object[0] : nothingFor(constructor.getParameterTypes()));
    }

    /** Of a class of AWS's that has no constructor without parameters; for others there are none. */
    private static Object[] nothingFor(Class<?>[] types) {
        Object[] nothing = new Object[types.length];
        for (int i = 0; i < types.length; i++) {
            nothing[i] = Scalars.nothing(types[i]);
        }
        return nothing;
    }

    Object make(Object[] arguments) {
        if (constructor == null) {
            throw new JsonException("Cannot construct instance of `" + type.getName() + "` (no Creators, like default"
                    + " constructor, exist)" + (Modifier.isAbstract(type.getModifiers())
                    ? ": abstract types either need to be mapped to concrete types, have custom deserializer, or contain"
                    + " additional type information" : ": cannot deserialize from Object value"));
        }
        try {
            return constructor.newInstance(arguments);
        } catch (InvocationTargetException thrown) {
            throw new JsonException("Cannot construct instance of `" + type.getName() + "`, problem: "
                    + thrown.getCause().getMessage(), thrown.getCause());
        } catch (InstantiationException | IllegalAccessException impossible) {
            throw new JsonException("Cannot construct instance of `" + type.getName() + "`: " + impossible.getMessage(),
                    impossible);
        }
    }

    private Constructor<?> plainConstructor() {
        if (Modifier.isAbstract(type.getModifiers())) {
            return null;
        }
        try {
            Constructor<?> found = type.getDeclaredConstructor();
            found.setAccessible(true);
            return found;
        } catch (NoSuchMethodException absent) {
            return null;
        }
    }

    private void addFields(boolean isEvent) {
        Deque<Class<?>> line = new ArrayDeque<>();
        for (Class<?> one = type; one != null && one != Object.class; one = one.getSuperclass()) {
            line.push(one);
        }
        for (Class<?> one : line) {
            for (Field field : one.getDeclaredFields()) {
                int modifiers = field.getModifiers();
                if (Modifier.isStatic(modifiers) || Modifier.isTransient(modifiers) || field.isSynthetic()) {
                    continue;
                }
                Property property = property(properties, field.getName());
                if (Modifier.isPublic(modifiers) || isEvent) {
                    field.setAccessible(true);
                    property.field = field;
                }
            }
        }
    }

    private void addMethods(boolean isEvent) {
        for (Method method : type.getMethods()) {
            if (isMember(method) && method.getParameterTypes().length == 0) {
                String name = nameOfGetter(method, isEvent);
                if (name != null) {
                    addGetter(property(properties, name), method);
                }
            }
        }
        for (Class<?> one = type; one != null && one != Object.class; one = one.getSuperclass()) {
            for (Method method : one.getDeclaredMethods()) {
                if (isMember(method) && method.getParameterTypes().length == 1 && method.getName().length() > 3
                        && method.getName().startsWith("set")) {
                    addSetter(property(properties, decapitalized(method.getName().substring(3))), method);
                }
            }
        }
    }

    private static boolean isMember(Method method) {
        return !Modifier.isStatic(method.getModifiers()) && !method.isBridge() && !method.isSynthetic()
                && method.getDeclaringClass() != Object.class;
    }

    private String nameOfGetter(Method method, boolean isEvent) {
        String name = method.getName();
        Class<?> returned = method.getReturnType();
        if (name.startsWith("get") && name.length() > 3 && returned != void.class) {
            return decapitalized(name.substring(3));
        }
        if (name.startsWith("is") && name.length() > 2 && (returned == boolean.class || returned == Boolean.class)) {
            return isEvent && properties.containsKey(name) ? name : decapitalized(name.substring(2));
        }
        return null;
    }

    /** A "get" before an "is"; of two with one name, the one with the narrower type. */
    private static void addGetter(Property property, Method method) {
        Method other = property.getter;
        if (other == null || other.getName().startsWith("is")
                || other.getReturnType().isAssignableFrom(method.getReturnType()) && method.getName().startsWith("get")) {
            method.setAccessible(true);
            property.getter = method;
        }
    }

    /** Of several with one name, the one that takes what the getter returns; else that of the class nearest. */
    private static void addSetter(Property property, Method method) {
        Class<?> wanted = property.getter == null ? null : property.getter.getReturnType();
        if (property.setter == null
                || method.getParameterTypes()[0] == wanted && property.setter.getParameterTypes()[0] != wanted) {
            method.setAccessible(true);
            property.setter = method;
        }
    }

    private boolean isRecord() {
        return type.getSuperclass() != null && type.getSuperclass().getName().equals("java.lang.Record");
    }

    /** By names: this file is compiled for Java 8, which knows no records. */
    private void addRecord() {
        try {
            Object[] found = (Object[]) Class.class.getMethod("getRecordComponents").invoke(type);
            components = new ArrayList<>();
            Class<?>[] types = new Class<?>[found.length];
            properties.clear();
            for (int i = 0; i < found.length; i++) {
                Class<?> component = found[i].getClass();
                Property property = property(properties, (String) component.getMethod("getName").invoke(found[i]));
                property.getter = (Method) component.getMethod("getAccessor").invoke(found[i]);
                property.getter.setAccessible(true);
                types[i] = property.getter.getReturnType();
                components.add(property);
            }
            constructor = type.getDeclaredConstructor(types);
            constructor.setAccessible(true);
        } catch (ReflectiveOperationException impossible) {
            throw new JsonException("Cannot read the record `" + type.getName() + "`: " + impossible, impossible);
        }
    }

    /** Of a record's component. */
    static Type componentType(Property property) {
        return property.getter.getGenericReturnType();
    }

    private static Property property(Map<String, Property> properties, String name) {
        Property property = properties.get(name);
        if (property == null) {
            property = new Property(name);
            properties.put(name, property);
        }
        return property;
    }

    /** "Name" is the property name, "URL" is URL: the rule of java.beans, without the module it is in. */
    private static String decapitalized(String name) {
        if (name.length() > 1 && Character.isUpperCase(name.charAt(0)) && Character.isUpperCase(name.charAt(1))) {
            return name;
        }
        return Character.toLowerCase(name.charAt(0)) + name.substring(1);
    }
}
