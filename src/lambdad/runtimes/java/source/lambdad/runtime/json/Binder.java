package lambdad.runtime.json;

import java.io.Serializable;
import java.lang.reflect.Array;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Date;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/**
 * A tree of JSON to an object of any type.
 *
 * <p>Members that a class has no property for are passed over, properties that the JSON does not have stay as they are, an
 * empty string stands for no object, and a lone value for a list of one, or the other way round: all as AWS's reader has it.
 */
public final class Binder {
    private Binder() {}

    public static Object bind(Object tree, Type type) {
        Class<?> raw = Generics.rawClass(type);
        if (tree == null) {
            return raw == Optional.class ? Optional.empty() : Scalars.nothing(raw);
        }
        if (raw == Object.class || raw == Serializable.class) {
            return plain(tree);
        }
        if (raw == Optional.class) {
            return Optional.ofNullable(bind(tree, Generics.argument(type, Optional.class, 0)));
        }
        if (tree instanceof Map) {
            return fromObject((Map<?, ?>) tree, type, raw);
        }
        return tree instanceof List ? fromArray((List<?>) tree, type, raw) : fromScalar(tree, type, raw);
    }

    private static Object fromScalar(Object tree, Type type, Class<?> raw) {
        Object value = Scalars.read(tree, raw);
        if (value != Scalars.NONE) {
            return value;
        }
        if (isSequence(raw)) {
            return "".equals(tree) ? null : sequence(Collections.singletonList(tree), type, raw);
        }
        if ("".equals(tree)) {
            return null;
        }
        throw Scalars.mismatch(tree, raw);
    }

    private static Object fromArray(List<?> tree, Type type, Class<?> raw) {
        if (isSequence(raw)) {
            return sequence(tree, type, raw);
        }
        Object time = Times.read(tree, raw);
        if (time != Scalars.NONE) {
            return time;
        }
        if (tree.isEmpty()) {
            return Scalars.nothing(raw);
        }
        if (tree.size() == 1) {
            return bind(tree.get(0), type);
        }
        throw Scalars.mismatch(tree, raw);
    }

    private static boolean isSequence(Class<?> raw) {
        return raw.isArray() || Collection.class.isAssignableFrom(raw) || raw == Iterable.class;
    }

    private static Object sequence(List<?> tree, Type type, Class<?> raw) {
        if (raw.isArray()) {
            Class<?> element = raw.getComponentType();
            Object array = Array.newInstance(element, tree.size());
            for (int i = 0; i < tree.size(); i++) {
                Array.set(array, i, bind(tree.get(i), element));
            }
            return array;
        }
        Type element = Generics.argument(type, Iterable.class, 0);
        Collection<Object> collection = collection(raw);
        for (Object one : tree) {
            collection.add(bind(one, element));
        }
        return collection;
    }

    @SuppressWarnings("unchecked")
    private static Collection<Object> collection(Class<?> raw) {
        if (raw.isAssignableFrom(ArrayList.class)) {
            return new ArrayList<>();
        }
        if (!Modifier.isAbstract(raw.getModifiers())) {
            return (Collection<Object>) Bean.of(raw).make();
        }
        if (Queue.class.isAssignableFrom(raw)) {
            return new ArrayDeque<>();
        }
        return SortedSet.class.isAssignableFrom(raw) ? new TreeSet<>() : Set.class.isAssignableFrom(raw)
                ? new LinkedHashSet<>() : new ArrayList<>();
    }

    private static Object fromObject(Map<?, ?> tree, Type type, Class<?> raw) {
        if (Map.class.isAssignableFrom(raw)) {
            return map(tree, type, raw);
        }
        if (isSequence(raw)) {
            return sequence(Collections.singletonList(tree), type, raw);
        }
        if (raw == String.class || raw.isPrimitive() || raw.isEnum() || raw.getName().startsWith("java.lang.")) {
            throw Scalars.mismatch(tree, raw);
        }
        return bean(tree, type, raw);
    }

    private static Object map(Map<?, ?> tree, Type type, Class<?> raw) {
        Type keys = Generics.argument(type, Map.class, 0);
        Type values = Generics.argument(type, Map.class, 1);
        Map<Object, Object> map = emptyMap(raw, keys);
        for (Map.Entry<?, ?> entry : tree.entrySet()) {
            map.put(keys == Object.class ? entry.getKey() : bind(entry.getKey(), keys), bind(entry.getValue(), values));
        }
        return map;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Map<Object, Object> emptyMap(Class<?> raw, Type keys) {
        if (raw == EnumMap.class) {
            return new EnumMap(Generics.rawClass(keys));
        }
        if (raw.isAssignableFrom(LinkedHashMap.class)) {
            return new LinkedHashMap<>();
        }
        if (!Modifier.isAbstract(raw.getModifiers())) {
            return (Map<Object, Object>) Bean.of(raw).make();
        }
        return SortedMap.class.isAssignableFrom(raw) ? new TreeMap<>() : ConcurrentMap.class.isAssignableFrom(raw)
                ? new ConcurrentHashMap<>() : new LinkedHashMap<>();
    }

    private static Object bean(Map<?, ?> tree, Type type, Class<?> raw) {
        Bean bean = Bean.of(raw);
        Map<TypeVariable<?>, Type> bindings = isGeneric(type, raw) ? Generics.bindings(type) : Collections.emptyMap();
        if (bean.components() != null) {
            return record(bean, tree, bindings);
        }
        Object made = bean.make();
        boolean isEvent = EventClasses.contains(raw);
        for (Map.Entry<?, ?> entry : tree.entrySet()) {
            Bean.Property property = bean.property((String) entry.getKey());
            if (property != null && property.isWritable()) {
                Type wanted = Generics.resolve(property.type(), bindings);
                Object value = member(entry.getValue(), wanted, isEvent, raw, property.name);
                property.set(made, value);
            }
        }
        return made;
    }

    private static Object record(Bean bean, Map<?, ?> tree, Map<TypeVariable<?>, Type> bindings) {
        List<Object> arguments = new ArrayList<>();
        for (Bean.Property component : bean.components()) {
            Type wanted = Generics.resolve(Bean.componentType(component), bindings);
            arguments.add(member(tree.get(component.name), wanted, false, Object.class, component.name));
        }
        return bean.make(arguments.toArray());
    }

    private static Object member(Object tree, Type wanted, boolean isEvent, Class<?> owner, String name) {
        try {
            return isEvent && wanted == Date.class && tree != null ? Scalars.eventDate(tree) : bind(tree, wanted);
        } catch (JsonException error) {
            String place = " (through reference chain: " + owner.getName() + "[\"" + name + "\"])";
            throw new JsonException(error.getMessage() + place, error.getCause());
        }
    }

    private static boolean isGeneric(Type type, Class<?> raw) {
        return type instanceof ParameterizedType || raw.getGenericSuperclass() instanceof ParameterizedType;
    }

    /** The tree as functions get it that name no type: Double in the place of our own numbers. */
    private static Object plain(Object tree) {
        if (tree instanceof Decimal) {
            return ((Decimal) tree).doubleValue();
        }
        if (tree instanceof List) {
            List<Object> list = new ArrayList<>(((List<?>) tree).size());
            for (Object one : (List<?>) tree) {
                list.add(plain(one));
            }
            return list;
        }
        if (tree instanceof Map) {
            Map<Object, Object> map = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) tree).entrySet()) {
                map.put(entry.getKey(), plain(entry.getValue()));
            }
            return map;
        }
        return tree;
    }
}
