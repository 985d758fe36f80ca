package lambdad.runtime.json;

import java.io.File;
import java.lang.reflect.InvocationTargetException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.URL;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.Date;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** JSON's strings, numbers and truth values as the types of Java that are one value. */
final class Scalars {
    /** No value; null is one. */
    static final Object NONE = new Object();

    private Scalars() {}

    /** What a variable of the type holds before anybody sets it. */
    static Object nothing(Class<?> type) {
        if (!type.isPrimitive()) {
            return null;
        }
        return type == boolean.class ? (Object) false : type == char.class ? (Object) '\0' : number(0, type);
    }

    /** NONE if the type is none of these. */
    static Object read(Object tree, Class<?> type) {
        if (type == String.class || type == CharSequence.class) {
            return tree.toString();
        }
        if (type == boolean.class || type == Boolean.class) {
            return truth(tree, type);
        }
        if (type.isPrimitive() && type != char.class || Number.class.isAssignableFrom(type)) {
            return tree instanceof String ? numberOf((String) tree, type) : number(asNumber(tree, type), type);
        }
        if (type.isEnum()) {
            return constant(tree, type);
        }
        if (type == char.class || type == Character.class) {
            return letter(tree, type);
        }
        if (tree instanceof String) {
            return fromText((String) tree, type);
        }
        return Times.read(tree, type);
    }

    static JsonException mismatch(Object tree, Class<?> type) {
        return new JsonException("Cannot deserialize value of type `" + type.getTypeName() + "` from " + kind(tree));
    }

    private static String kind(Object tree) {
        if (tree instanceof String) {
            return "String \"" + tree + "\"";
        }
        if (tree instanceof Boolean || tree instanceof Number) {
            return (tree instanceof Number ? "Number" : "Boolean") + " value (" + tree + ")";
        }
        return tree instanceof Map ? "Object value" : "Array value";
    }

    private static Number asNumber(Object tree, Class<?> type) {
        if (tree instanceof Number) {
            return (Number) tree;
        }
        throw mismatch(tree, type);
    }

    private static Object truth(Object tree, Class<?> type) {
        if (tree instanceof Boolean) {
            return tree;
        }
        if (tree instanceof Integer) {
            return (Integer) tree != 0;
        }
        String text = tree.toString().trim();
        if (text.equalsIgnoreCase("true") || text.equalsIgnoreCase("false")) {
            return text.equalsIgnoreCase("true");
        }
        if (text.isEmpty()) {
            return nothing(type);
        }
        throw mismatch(tree, type);
    }

    private static Object numberOf(String text, Class<?> type) {
        String digits = text.trim();
        JsonReader.checkLength(digits);
        if (digits.isEmpty()) {
            return nothing(type);
        }
        try {
            boolean isWhole = type != float.class && type != Float.class && type != double.class && type != Double.class
                    && type != BigDecimal.class && type != Number.class;
            return number(isWhole ? new BigInteger(digits) : new Decimal(digits), type);
        } catch (NumberFormatException malformed) {
            throw new JsonException("Cannot deserialize value of type `" + type.getName() + "` from String \"" + text
                    + "\": not a valid `" + type.getName() + "` value", malformed);
        }
    }

    /** A fraction is cut off, as AWS's reader does; what is too large for the type is refused. */
    private static Object number(Number number, Class<?> type) {
        if (type == double.class || type == Double.class) {
            return number.doubleValue();
        }
        if (type == float.class || type == Float.class) {
            return number.floatValue();
        }
        if (type == Number.class) {
            return number instanceof Decimal ? (Number) number.doubleValue() : number;
        }
        if (type == BigDecimal.class) {
            return number instanceof Decimal ? ((Decimal) number).exact() : new BigDecimal(number.toString());
        }
        BigInteger whole = whole(number);
        if (type == BigInteger.class) {
            return whole;
        }
        if (type == AtomicInteger.class) {
            return new AtomicInteger((int) within(whole, 32, type));
        }
        if (type == AtomicLong.class) {
            return new AtomicLong(within(whole, 64, type));
        }
        if (type == int.class || type == Integer.class) {
            return (int) within(whole, 32, type);
        }
        if (type == long.class || type == Long.class) {
            return within(whole, 64, type);
        }
        if (type == short.class || type == Short.class) {
            return (short) within(whole, 16, type);
        }
        if (type == byte.class || type == Byte.class) {
            return (byte) within(whole, 8, type);
        }
        return NONE;
    }

    private static BigInteger whole(Number number) {
        return number instanceof Decimal ? ((Decimal) number).whole() : new BigInteger(number.toString());
    }

    private static long within(BigInteger number, int bits, Class<?> type) {
        if (number.bitLength() >= bits) {
            throw new JsonException("Numeric value (" + number + ") out of range of `" + type.getName() + "`");
        }
        return number.longValue();
    }

    /** Null for a name that the type does not have, as AWS's reader does. */
    private static Object constant(Object tree, Class<?> type) {
        for (Object constant : type.getEnumConstants()) {
            Enum<?> one = (Enum<?>) constant;
            if (tree instanceof Integer ? one.ordinal() == (Integer) tree : one.name().equals(tree)) {
                return one;
            }
        }
        return null;
    }

    private static Object letter(Object tree, Class<?> type) {
        if (tree instanceof Integer && (Integer) tree >= 0 && (Integer) tree <= 0xFFFF) {
            return (char) (int) (Integer) tree;
        }
        if (tree instanceof String && ((String) tree).length() == 1) {
            return ((String) tree).charAt(0);
        }
        if ("".equals(tree)) {
            return nothing(type);
        }
        throw mismatch(tree, type);
    }

    private static Object fromText(String text, Class<?> type) {
        try {
            if (type == byte[].class) {
                return Base64.getMimeDecoder().decode(text);
            }
            if (type == char[].class) {
                return text.toCharArray();
            }
            if (type == ByteBuffer.class) {
                return ByteBuffer.wrap(Base64.getMimeDecoder().decode(text));
            }
            if (text.isEmpty()) {
                return null; // an empty string is no object, and no other of these either
            }
            if (type == UUID.class) {
                return UUID.fromString(text);
            }
            if (type == URI.class) {
                return URI.create(text);
            }
            if (type == URL.class) {
                return new URL(text);
            }
            if (type == File.class) {
                return new File(text);
            }
            if (type == Locale.class) {
                return Locale.forLanguageTag(text.replace('_', '-'));
            }
            if (type == TimeZone.class) {
                return TimeZone.getTimeZone(text);
            }
            if (type == AtomicBoolean.class) {
                return new AtomicBoolean((Boolean) truth(text, boolean.class));
            }
            if (type.getName().equals("org.joda.time.DateTime")) {
                return type.getMethod("parse", String.class).invoke(null, text);
            }
            return Times.read(text, type);
        } catch (IllegalArgumentException | MalformedURLException | ReflectiveOperationException malformed) {
            Throwable cause = malformed instanceof InvocationTargetException ? malformed.getCause() : malformed;
            throw new JsonException(mismatch(text, type).getMessage() + ": " + cause.getMessage(), cause);
        }
    }

    /** Seconds, in AWS's own event classes; null for none. */
    static Date eventDate(Object tree) {
        double seconds = tree instanceof Number ? ((Number) tree).doubleValue() : Double.parseDouble(tree.toString());
        return seconds == 0 ? null : new Date((long) (seconds * 1000));
    }
}
