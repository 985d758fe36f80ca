package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Date;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;

/** Handlers of objects: what JSON is read to, and what is written. */
public class Orders {
    public enum Size {
        SMALL,
        LARGE
    }

    public static class Item {
        private String name;
        private int count = 1;
        public Size size;
        private final List<Item> parts = new ArrayList<>();
        private Boolean isGift;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public int getCount() {
            return count;
        }

        public void setCount(int count) {
            this.count = count;
        }

        public boolean isHeavy() {
            return count > 10;
        }

        public String getURL() {
            return name == null ? null : "/" + name;
        }

        public Boolean getIsGift() {
            return isGift;
        }

        public void setIsGift(Boolean isGift) {
            this.isGift = isGift;
        }
    }

    public static class Order<T> {
        public T head;
        public List<T> items;
        public Map<Size, List<BigDecimal>> prices;
        public Set<String> tags;
        public Optional<String> note = Optional.of("unset");
        public Date date;
        public Instant instant;
        public LocalDate day;
        public UUID id;
        public byte[] bytes;
        public ByteBuffer buffer;
        public long[] numbers;
        public Item[] array;
        public char letter;
        public Object anything;
        public transient String secret = "s";
    }

    public static class ItemOrder extends Order<Item> {}

    public static class Echo implements RequestHandler<ItemOrder, ItemOrder> {
        @Override
        public ItemOrder handleRequest(ItemOrder order, Context context) {
            return order;
        }
    }

    /** The type parameters are found through a generic class between. */
    public abstract static class Base<I> implements RequestHandler<List<I>, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(List<I> input, Context context) {
            Map<String, Object> result = new TreeMap<>();
            result.put("class", input.isEmpty() ? null : input.get(0).getClass().getSimpleName());
            result.put("count", input.size());
            return result;
        }
    }

    public static class Items extends Base<Item> {}

    public static class Raw<X> implements RequestHandler<X, X> {
        @Override
        public X handleRequest(X input, Context context) {
            return input;
        }
    }

    public String generic(Order<Integer> order) {
        return order.head.getClass().getSimpleName() + order.items;
    }

    public Map<Size, Double> sizes(EnumMap<Size, Double> sizes) {
        return sizes;
    }

    public String size(Size size) {
        return String.valueOf(size);
    }

    public Object times(String ignored) {
        Map<String, Object> times = new LinkedHashMap<>();
        times.put("date", new Date(1500));
        times.put("instant", Instant.ofEpochSecond(1, 500_000_000));
        times.put("day", LocalDate.of(2026, 1, 2));
        times.put("none", Optional.empty());
        times.put("nan", Double.NaN);
        times.put("decimal", new BigDecimal("1.10"));
        times.put("text", "\"\\\n\u0001\u00e9\u3053\ud83d\ude00");
        return times;
    }

    public Object self(String ignored) {
        Loop loop = new Loop();
        loop.next = loop;
        return loop;
    }

    public Object circle(String ignored) {
        Loop one = new Loop();
        one.next = new Loop();
        one.next.next = one;
        return one;
    }

    public Object broken(String ignored) {
        return new Object() {
            public String getValue() {
                throw new IllegalStateException("no value");
            }
        };
    }

    public Object empty(String ignored) {
        return new Object();
    }

    public static class Loop {
        public Loop next;
    }

    public String noObject(Runnable runnable) {
        return "never";
    }
}
