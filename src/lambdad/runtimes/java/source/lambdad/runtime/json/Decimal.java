package lambdad.runtime.json;

import java.math.BigDecimal;
import java.math.BigInteger;

/** A number with a point or an exponent as it was written, so that whoever wants all its digits gets them. */
final class Decimal extends Number {
    private static final long serialVersionUID = 1;

    static final int MAX_DIGITS = 1000;

    private final String text;

    Decimal(String text) {
        Double.parseDouble(text); // a NumberFormatException if it is none
        this.text = text;
    }

    BigDecimal exact() {
        return new BigDecimal(text);
    }

    /** Without the fraction. A few letters can stand for more digits than there is memory: those are refused. */
    BigInteger whole() {
        BigDecimal exact = exact();
        if (Math.abs((long) exact.scale()) > MAX_DIGITS) {
            throw new JsonException("Number scale (" + exact.scale() + ") magnitude exceeds the maximum allowed (" + MAX_DIGITS
                    + ")");
        }
        return exact.toBigInteger();
    }

    @Override
    public double doubleValue() {
        return Double.parseDouble(text);
    }

    @Override
    public float floatValue() {
        return Float.parseFloat(text);
    }

    @Override
    public int intValue() {
        return (int) doubleValue();
    }

    @Override
    public long longValue() {
        return (long) doubleValue();
    }

    @Override
    public String toString() {
        return text;
    }
}
