package lambdad.runtime.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.Period;
import java.time.Year;
import java.time.YearMonth;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.temporal.TemporalAccessor;
import java.util.ArrayList;
import java.util.Calendar;
import java.util.Date;
import java.util.GregorianCalendar;
import java.util.List;

/** Dates and times: java.util's are milliseconds, java.time's seconds with a fraction, or, without a zone, lists of numbers. */
final class Times {
    private static final BigDecimal GIGA = BigDecimal.valueOf(1_000_000_000L);

    private Times() {}

    /** Scalars.NONE if the type is none of these. */
    static Object read(Object tree, Class<?> type) {
        if (type != Date.class && type != Calendar.class && !type.getName().startsWith("java.time.")) {
            return Scalars.NONE;
        }
        try {
            if (tree instanceof Number) {
                return fromNumber((Number) tree, type);
            }
            return tree instanceof List ? fromParts((List<?>) tree, type) : fromText(tree.toString(), type);
        } catch (DateTimeException | ArithmeticException malformed) {
            throw new JsonException(Scalars.mismatch(tree, type).getMessage() + ": " + malformed.getMessage(), malformed);
        }
    }

    private static Object fromNumber(Number number, Class<?> type) {
        if (type == Date.class) {
            return new Date(number.longValue());
        }
        if (type == Calendar.class) {
            return calendar(number.longValue());
        }
        BigInteger seconds = number instanceof Decimal ? ((Decimal) number).whole() : new BigInteger(number.toString());
        long whole = seconds.longValueExact();
        BigDecimal fraction = new BigDecimal(number.toString()).subtract(new BigDecimal(seconds));
        long nanos = fraction.multiply(GIGA).longValue();
        if (type == Duration.class) {
            return Duration.ofSeconds(whole, nanos);
        }
        if (type == Year.class) {
            return Year.of((int) whole);
        }
        return at(Instant.ofEpochSecond(whole, nanos), type);
    }

    private static Object at(Instant instant, Class<?> type) {
        if (type == Instant.class) {
            return instant;
        }
        if (type == OffsetDateTime.class) {
            return instant.atOffset(ZoneOffset.UTC);
        }
        return type == ZonedDateTime.class ? instant.atZone(ZoneOffset.UTC) : Scalars.NONE;
    }

    private static Object fromParts(List<?> parts, Class<?> type) {
        int[] numbers = new int[7];
        for (int i = 0; i < Math.min(parts.size(), 7); i++) {
            if (!(parts.get(i) instanceof Integer)) {
                throw Scalars.mismatch(parts, type);
            }
            numbers[i] = (Integer) parts.get(i);
        }
        if (type == LocalDate.class) {
            return LocalDate.of(numbers[0], numbers[1], numbers[2]);
        }
        if (type == LocalTime.class) {
            return LocalTime.of(numbers[0], numbers[1], numbers[2], numbers[3]);
        }
        if (type == LocalDateTime.class) {
            return LocalDateTime.of(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]);
        }
        return type == YearMonth.class ? YearMonth.of(numbers[0], numbers[1]) : Scalars.NONE;
    }

    private static Object fromText(String text, Class<?> type) {
        if (type == Date.class || type == Calendar.class) {
            long millis = millis(text);
            return type == Date.class ? new Date(millis) : calendar(millis);
        }
        if (type == Instant.class) {
            return text.endsWith("Z") ? Instant.parse(text) : OffsetDateTime.parse(text).toInstant();
        }
        if (type == OffsetDateTime.class) {
            return OffsetDateTime.parse(text);
        }
        if (type == ZonedDateTime.class) {
            return ZonedDateTime.parse(text);
        }
        if (type == LocalDate.class) {
            return LocalDate.parse(text.length() > 10 ? text.substring(0, 10) : text);
        }
        if (type == LocalDateTime.class) {
            return LocalDateTime.parse(text.endsWith("Z") ? text.substring(0, text.length() - 1) : text);
        }
        if (type == LocalTime.class) {
            return LocalTime.parse(text);
        }
        if (type == Duration.class) {
            return Duration.parse(text);
        }
        return otherFromText(text, type);
    }

    private static Object otherFromText(String text, Class<?> type) {
        if (type == Period.class) {
            return Period.parse(text);
        }
        if (type == ZoneId.class) {
            return ZoneId.of(text);
        }
        if (type == YearMonth.class) {
            return YearMonth.parse(text);
        }
        return type == Year.class ? Year.parse(text) : Scalars.NONE;
    }

    private static long millis(String text) {
        if (text.matches("-?\\d+")) {
            return Long.parseLong(text);
        }
        if (text.length() == 10) {
            return LocalDate.parse(text).atStartOfDay(ZoneOffset.UTC).toInstant().toEpochMilli();
        }
        // "+0000" is what java.util writes and java.time does not read.
        String offset = text.replaceFirst("([+-]\\d\\d)(\\d\\d)$", "$1:$2");
        boolean hasZone = offset.endsWith("Z") || offset.matches(".*T.*[+-]\\d\\d:\\d\\d$");
        return OffsetDateTime.parse(hasZone ? offset : offset + "Z").toInstant().toEpochMilli();
    }

    private static Calendar calendar(long millis) {
        Calendar calendar = new GregorianCalendar(java.util.TimeZone.getTimeZone("UTC"));
        calendar.setTimeInMillis(millis);
        return calendar;
    }

    /** A Number, a String or a List to be written in its place; Scalars.NONE if it is no time. */
    static Object write(Object value) {
        if (value instanceof Date) {
            return ((Date) value).getTime();
        }
        if (value instanceof Calendar) {
            return ((Calendar) value).getTimeInMillis();
        }
        if (!value.getClass().getName().startsWith("java.time.")) {
            return Scalars.NONE;
        }
        if (value instanceof Duration) {
            return decimal(((Duration) value).getSeconds(), ((Duration) value).getNano());
        }
        if (value instanceof Year) {
            return ((Year) value).getValue();
        }
        return value instanceof TemporalAccessor ? fromTemporal((TemporalAccessor) value) : value.toString();
    }

    private static Object fromTemporal(TemporalAccessor value) {
        if (value instanceof Instant || value instanceof OffsetDateTime || value instanceof ZonedDateTime) {
            Instant instant = Instant.from(value);
            return decimal(instant.getEpochSecond(), instant.getNano());
        }
        List<Object> parts = new ArrayList<>();
        if (value instanceof LocalDate) {
            addDate(parts, (LocalDate) value);
        } else if (value instanceof LocalTime) {
            addTime(parts, (LocalTime) value);
        } else if (value instanceof LocalDateTime) {
            addDate(parts, ((LocalDateTime) value).toLocalDate());
            addTime(parts, ((LocalDateTime) value).toLocalTime());
        } else {
            return value.toString();
        }
        return parts;
    }

    private static void addDate(List<Object> parts, LocalDate date) {
        parts.add(date.getYear());
        parts.add(date.getMonthValue());
        parts.add(date.getDayOfMonth());
    }

    private static void addTime(List<Object> parts, LocalTime time) {
        parts.add(time.getHour());
        parts.add(time.getMinute());
        if (time.getSecond() > 0 || time.getNano() > 0) {
            parts.add(time.getSecond());
        }
        if (time.getNano() > 0) {
            parts.add(time.getNano());
        }
    }

    private static BigDecimal decimal(long seconds, int nanos) {
        return new BigDecimal(BigInteger.valueOf(seconds).multiply(GIGA.toBigInteger()).add(BigInteger.valueOf(nanos)), 9);
    }
}
