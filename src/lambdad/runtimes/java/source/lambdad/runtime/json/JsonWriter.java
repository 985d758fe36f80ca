package lambdad.runtime.json;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.lang.reflect.Array;
import java.net.URI;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Iterator;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TimeZone;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;

/** Any object to JSON. Members without a value are left out, as AWS's writer does. */
public final class JsonWriter {
    private static final char[] HEXADECIMAL = "0123456789ABCDEF".toCharArray();
    private static final int GATHERED = 8192; // characters; Java 8 takes two bytes for each, and a large result is there anyway

    private final StringBuilder text = new StringBuilder(256);
    private final ByteArrayOutputStream target;

    private JsonWriter(ByteArrayOutputStream target) {
        this.target = target;
    }

    public static void write(Object value, ByteArrayOutputStream target) {
        JsonWriter writer = new JsonWriter(target);
        writer.write(value, 0);
        writer.passOn();
    }

    public static byte[] toBytes(Object value) {
        ByteArrayOutputStream target = new ByteArrayOutputStream();
        write(value, target);
        return target.toByteArray();
    }

    private void passOnIfMuch() {
        if (text.length() > GATHERED) {
            passOn();
        }
    }

    /** No character is cut in two: those of two halves are escaped. */
    private void passOn() {
        byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
        target.write(bytes, 0, bytes.length);
        text.setLength(0);
    }

    private void write(Object value, int depth) {
        if (value == null) {
            text.append("null");
        } else if (value instanceof CharSequence || value instanceof Character || value instanceof Enum || isNamed(value)) {
            string(name(value));
        } else if (value instanceof Number) {
            number((Number) value);
        } else if (value instanceof Boolean || value instanceof AtomicBoolean) {
            text.append(value);
        } else {
            writeCompound(value, depth);
        }
    }

    private void writeCompound(Object value, int depth) {
        if (depth > JsonReader.MAX_DEPTH) {
            throw new JsonException("Document nesting depth (" + depth + ") exceeds the maximum allowed ("
                    + JsonReader.MAX_DEPTH + "): does an object hold itself?");
        }
        if (value instanceof Map) {
            map((Map<?, ?>) value, depth);
        } else if (value instanceof Iterable) {
            sequence(((Iterable<?>) value).iterator(), depth);
        } else if (value instanceof Iterator) {
            sequence((Iterator<?>) value, depth);
        } else if (value.getClass().isArray()) {
            array(value, depth);
        } else if (value instanceof Optional) {
            write(((Optional<?>) value).orElse(null), depth);
        } else if (value instanceof ByteBuffer) {
            string(Base64.getEncoder().encodeToString(bytes((ByteBuffer) value)));
        } else if (value instanceof Map.Entry) {
            text.append('{');
            member(key(((Map.Entry<?, ?>) value).getKey()), ((Map.Entry<?, ?>) value).getValue(), depth);
            text.append('}');
        } else {
            Object time = Times.write(value);
            if (time != Scalars.NONE) {
                write(time, depth);
            } else {
                bean(value, depth);
            }
        }
    }

    private static boolean isNamed(Object value) {
        return value instanceof UUID || value instanceof URI || value instanceof URL || value instanceof File
                || value instanceof Class || value instanceof Locale || value instanceof TimeZone;
    }

    private static String name(Object value) {
        if (value instanceof Enum) {
            return ((Enum<?>) value).name();
        }
        if (value instanceof Class) {
            return ((Class<?>) value).getName();
        }
        return value instanceof TimeZone ? ((TimeZone) value).getID() : value.toString();
    }

    private static String key(Object key) {
        if (key == null) {
            throw new JsonException("Null key for a Map not allowed in JSON");
        }
        return key instanceof Enum || isNamed(key) ? name(key) : key.toString();
    }

    private void number(Number number) {
        String digits = number.toString();
        boolean isNone = digits.endsWith("N") || digits.endsWith("y"); // NaN, Infinity
        text.append(isNone ? "\"" + digits + "\"" : digits);
    }

    private void map(Map<?, ?> map, int depth) {
        text.append('{');
        boolean isFirst = true;
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            if (entry.getValue() == null) {
                continue;
            }
            if (!isFirst) {
                text.append(',');
            }
            isFirst = false;
            member(key(entry.getKey()), entry.getValue(), depth);
        }
        text.append('}');
    }

    private void bean(Object value, int depth) {
        text.append('{');
        boolean isFirst = true;
        for (Bean.Property property : Bean.of(value.getClass()).properties()) {
            Object member = property.isReadable() ? property.get(value) : null;
            if (member == null) {
                continue;
            }
            if (member == value) {
                throw new JsonException("Direct self-reference leading to cycle (through reference chain: "
                        + value.getClass().getName() + "[\"" + property.name + "\"])");
            }
            if (!isFirst) {
                text.append(',');
            }
            isFirst = false;
            member(property.name, member, depth);
        }
        text.append('}');
    }

    private void member(String name, Object value, int depth) {
        string(name);
        text.append(':');
        write(value, depth + 1);
    }

    private void sequence(Iterator<?> values, int depth) {
        text.append('[');
        while (values.hasNext()) {
            write(values.next(), depth + 1);
            if (values.hasNext()) {
                text.append(',');
            }
        }
        text.append(']');
    }

    private void array(Object array, int depth) {
        if (array instanceof byte[]) {
            string(Base64.getEncoder().encodeToString((byte[]) array));
            return;
        }
        if (array instanceof char[]) {
            string(new String((char[]) array));
            return;
        }
        text.append('[');
        int length = Array.getLength(array);
        for (int i = 0; i < length; i++) {
            if (i > 0) {
                text.append(',');
            }
            write(Array.get(array, i), depth + 1);
        }
        text.append(']');
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    /** As AWS's writer has it: UTF-8, but for letters that Java has as two, which are escaped, whether they belong together or not. */
    private void string(String value) {
        text.append('"');
        int begin = 0;
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c >= ' ' && c != '"' && c != '\\' && !Character.isSurrogate(c)) {
                continue;
            }
            part(value, begin, i);
            begin = i + 1;
            escape(c);
            passOnIfMuch();
        }
        part(value, begin, value.length());
        text.append('"');
    }

    private void part(String value, int begin, int end) {
        for (int next = begin; next < end; ) {
            int from = next;
            next = Math.min(end, from + GATHERED);
            text.append(value, from, next);
            passOnIfMuch();
        }
    }

    private void escape(char c) {
        int simple = "\b\t\n\f\r".indexOf(c);
        if (c == '"' || c == '\\') {
            text.append('\\').append(c);
        } else if (simple >= 0) {
            text.append('\\').append("btnfr".charAt(simple));
        } else {
            text.append("\\u");
            for (int shift = 12; shift >= 0; shift -= 4) {
                text.append(HEXADECIMAL[c >> shift & 15]);
            }
        }
    }
}
