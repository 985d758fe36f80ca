package lambdad.runtime.json;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Text to a tree of Map, List, String, Boolean, null, and for numbers Integer, Long, BigInteger or {@link Decimal}.
 *
 * <p>As lenient as AWS's reader where that matters: control characters inside strings, NaN and Infinity.
 */
public final class JsonReader {
    static final int MAX_DEPTH = 1000;

    private final String text;
    private int at;

    private JsonReader(String text) {
        this.text = text;
    }

    public static Object read(String text) {
        JsonReader reader = new JsonReader(text);
        reader.skipSpace();
        if (reader.at == text.length()) {
            throw new JsonException("No content to map due to end-of-input");
        }
        Object value = reader.value(0);
        reader.skipSpace();
        if (reader.at < text.length()) {
            throw reader.unexpected("the end");
        }
        return value;
    }

    private Object value(int depth) {
        if (depth > MAX_DEPTH) {
            throw new JsonException("Document nesting depth (" + depth + ") exceeds the maximum allowed (" + MAX_DEPTH + ")");
        }
        char c = peek();
        switch (c) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            default:
                return c == '-' || c >= '0' && c <= '9' ? number() : word();
        }
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> object = new LinkedHashMap<>();
        at++;
        skipSpace();
        if (peek() == '}') {
            at++;
            return object;
        }
        while (true) {
            if (peek() != '"') {
                throw unexpected("a name in quotation marks");
            }
            String name = string();
            skipSpace();
            expect(':');
            skipSpace();
            object.put(name, value(depth + 1));
            skipSpace();
            if (peek() == '}') {
                at++;
                return object;
            }
            expect(',');
            skipSpace();
        }
    }

    private List<Object> array(int depth) {
        List<Object> array = new ArrayList<>();
        at++;
        skipSpace();
        if (peek() == ']') {
            at++;
            return array;
        }
        while (true) {
            array.add(value(depth + 1));
            skipSpace();
            if (peek() == ']') {
                at++;
                return array;
            }
            expect(',');
            skipSpace();
        }
    }

    private String string() {
        int start = ++at;
        while (peek() != '"' && peek() != '\\') {
            at++;
        }
        if (peek() == '"') {
            return text.substring(start, at++);
        }
        StringBuilder letters = new StringBuilder(text.substring(start, at));
        while (peek() != '"') {
            letters.append(peek() == '\\' ? escaped() : text.charAt(at++));
        }
        at++;
        return letters.toString();
    }

    private char escaped() {
        at++;
        char c = peek();
        at++;
        switch (c) {
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                return codeUnit();
            default:
                return c;
        }
    }

    private char codeUnit() {
        int code = 0;
        for (int i = 0; i < 4; i++) {
            int digit = Character.digit(peek(), 16);
            if (digit < 0) {
                throw unexpected("a hexadecimal digit");
            }
            code = code << 4 | digit;
            at++;
        }
        return (char) code;
    }

    private Object number() {
        int start = at;
        at++;
        boolean isDecimal = false;
        while (at < text.length() && "0123456789+-.eE".indexOf(text.charAt(at)) >= 0) {
            isDecimal |= text.charAt(at) < '0' && text.charAt(at) != '-' || text.charAt(at) > '9';
            at++;
        }
        String digits = text.substring(start, at);
        checkLength(digits);
        if (digits.equals("-") && text.startsWith("Infinity", at)) {
            at += 8;
            return new Decimal("-Infinity");
        }
        try {
            return isDecimal ? new Decimal(digits) : integer(digits);
        } catch (NumberFormatException malformed) {
            at = start;
            throw unexpected("a number");
        }
    }

    /** The time to read a number grows with the square of its length. */
    static void checkLength(String digits) {
        if (digits.length() > Decimal.MAX_DIGITS) {
            throw new JsonException("Number value length (" + digits.length() + ") exceeds the maximum allowed ("
                    + Decimal.MAX_DIGITS + ")");
        }
    }

    private static Number integer(String digits) {
        if (digits.length() < 10) {
            return Integer.valueOf(digits);
        }
        if (digits.length() < 19) {
            long number = Long.parseLong(digits);
            return number == (int) number ? (Number) (int) number : (Number) number;
        }
        BigInteger number = new BigInteger(digits);
        return number.bitLength() < 64 ? (Number) number.longValue() : number;
    }

    private Object word() {
        for (Object[] word : WORDS) {
            String name = (String) word[0];
            if (text.startsWith(name, at)) {
                at += name.length();
                return word[1];
            }
        }
        throw unexpected("a value");
    }

    private static final Object[][] WORDS = {
        {"null", null}, {"true", true}, {"false", false}, {"NaN", new Decimal("NaN")}, {"Infinity", new Decimal("Infinity")},
    };

    private void skipSpace() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at == text.length()) {
            throw new JsonException("Unexpected end-of-input");
        }
        return text.charAt(at);
    }

    private void expect(char c) {
        if (peek() != c) {
            throw unexpected("'" + c + "'");
        }
        at++;
    }

    private JsonException unexpected(String wanted) {
        char c = text.charAt(at);
        return new JsonException("Unexpected character ('" + c + "' (code " + (int) c + ")): expected " + wanted
                + " at offset " + at);
    }
}
