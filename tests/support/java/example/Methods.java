package example;

import com.amazonaws.services.lambda.runtime.Context;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Plain methods of every signature that may be a handler. */
public class Methods {
    public String text(String input) {
        return "text " + input;
    }

    public Integer number(Integer input) {
        return input + 1;
    }

    public int primitive(int input, Context context) {
        return input * 2;
    }

    public double half(double input) {
        return input / 2;
    }

    public boolean not(boolean input) {
        return !input;
    }

    public Boolean boxedNot(Boolean input, Context context) {
        return input == null ? null : !input;
    }

    public long large(long input) {
        return input;
    }

    public char letter(char input) {
        return input;
    }

    public int sum(List<Integer> input) {
        int sum = 0;
        for (int one : input) {
            sum += one;
        }
        return sum;
    }

    public int length(int[] input) {
        return input.length;
    }

    public Object first(Map<String, Object> input) {
        return input.values().iterator().next().getClass().getName();
    }

    public Object any(Object input) {
        return input;
    }

    public String nothing() {
        return "nothing";
    }

    public String onlyContext(Context context) {
        return context == null ? "no context" : "context";
    }

    public void empty(String input) {}

    public Void emptyToo(String input) {
        return null;
    }

    public static String fixed(String input) {
        return "static " + input;
    }

    public void copy(InputStream input, OutputStream output) throws IOException {
        output.write(all(input));
    }

    public void copyWithContext(InputStream input, OutputStream output, Context context) throws IOException {
        output.write(all(input));
        output.write(context == null ? '?' : '!');
    }

    public void reads(InputStream input) throws IOException {
        all(input);
    }

    public void readsWithContext(InputStream input, Context context) throws IOException {
        all(input);
    }

    public void writes(OutputStream output) throws IOException {
        output.write("[7]".getBytes());
    }

    public void writesWithContext(OutputStream output, Context context) throws IOException {
        output.write("[8]".getBytes());
    }

    public String several(String input) {
        return "one";
    }

    public String several(String input, Context context) {
        return "with context";
    }

    public String several(String input, String other) {
        return "no handler";
    }

    public String several(String input, String other, String another, String last) {
        return "no handler";
    }

    public String wrong(String input, String other) {
        return "no handler";
    }

    protected String hidden(String input) {
        return "not public";
    }

    public String fails(String input) throws Exception {
        throw new IOException("checked " + input, new IllegalStateException("inner"));
    }

    public String recurses(String input) {
        return recurses(input);
    }

    private static byte[] all(InputStream input) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (int one = input.read(); one >= 0; one = input.read()) {
            all.write(one);
        }
        return all.toByteArray();
    }
}
