package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.LambdaLogger;
import com.amazonaws.services.lambda.runtime.logging.LogFormat;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;

import lambdad.runtime.json.JsonWriter;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UnsupportedEncodingException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/** The function's log: standard streams as on AWS, and a logger each of whose messages is one log event. */
public final class FunctionLogger implements LambdaLogger {
    private static final int STANDARD_OUTPUT = 1;

    private static volatile FunctionLogger current;

    private final Frames frames; // null where the platform reads none
    private final OutputStream output;
    private final boolean isJson;
    private final LogLevel least;
    private volatile Context context;

    private FunctionLogger(Frames frames, OutputStream output, boolean isJson, LogLevel least) {
        this.frames = frames;
        this.output = output;
        this.isJson = isJson;
        this.least = least;
    }

    /** Makes the standard streams and the logger that functions find. */
    static FunctionLogger open(String framesDescriptor, Map<String, String> environment) {
        OutputStream output = new FileOutputStream(FileDescriptor.out);
        System.setOut(printer(output));
        System.setErr(printer(new FileOutputStream(FileDescriptor.err)));
        boolean takesFrames = framesDescriptor.equals(String.valueOf(STANDARD_OUTPUT));
        boolean isJson = LogFormat.JSON.name().equals(environment.get("AWS_LAMBDA_LOG_FORMAT"));
        FunctionLogger logger = new FunctionLogger(
                takesFrames ? new Frames(output) : null, output, isJson, level(environment.get("AWS_LAMBDA_LOG_LEVEL")));
        current = logger;
        return logger;
    }

    /** UTF-8 whatever the locale is. A write of up to a pipe's size leaves in one piece. */
    private static PrintStream printer(OutputStream output) {
        try {
            return new PrintStream(new BufferedOutputStream(output, 4096), true, "UTF-8");
        } catch (UnsupportedEncodingException error) {
            throw new IllegalStateException(error);
        }
    }

    private static LogLevel level(String name) {
        try {
            return name == null || name.isEmpty() ? LogLevel.UNDEFINED : LogLevel.fromString(name);
        } catch (IllegalArgumentException unknown) {
            return LogLevel.INFO;
        }
    }

    /** The one of this process; null where the client does not run, as in a test of a function's author. */
    public static LambdaLogger current() {
        return current;
    }

    /** Before an answer leaves, what was said before it has to be in the log's pipe. */
    static void flush() {
        try {
            System.out.flush();
            System.err.flush();
        } catch (RuntimeException strange) {
            return; // whatever the function put there
        }
    }

    boolean isJson() {
        return isJson;
    }

    void setContext(Context context) {
        this.context = context;
    }

    @Override
    public void log(String message) {
        log(message, LogLevel.UNDEFINED);
    }

    @Override
    public void log(byte[] message) {
        log(message, LogLevel.UNDEFINED);
    }

    @Override
    public void log(String message, LogLevel level) {
        String text = String.valueOf(message);
        if (isWanted(level)) {
            write(isJson ? record(text, level) : prefixed(text, level).getBytes(StandardCharsets.UTF_8), level);
        }
    }

    @Override
    public void log(byte[] message, LogLevel level) {
        if (isWanted(level)) {
            write(message, level);
        }
    }

    private boolean isWanted(LogLevel level) {
        return level == LogLevel.UNDEFINED || level.compareTo(least) >= 0;
    }

    private static String prefixed(String text, LogLevel level) {
        return level == LogLevel.UNDEFINED ? text : "[" + level + "] " + text;
    }

    private byte[] record(String text, LogLevel level) {
        Map<String, Object> record = new LinkedHashMap<>();
        record.put("timestamp", timestamp());
        record.put("level", level.name());
        record.put("message", text);
        Context current = context;
        if (current != null) {
            record.put("AWSRequestId", current.getAwsRequestId());
            if (current.getTenantId() != null) {
                record.put("tenantId", current.getTenantId());
            }
        }
        return JsonWriter.toBytes(record);
    }

    /** Always with three digits of a second: the length of `Instant`'s own text varies. */
    private static String timestamp() {
        String text = Instant.ofEpochMilli(System.currentTimeMillis()).toString();
        return text.length() == 20 ? text.substring(0, 19) + ".000Z" : text;
    }

    /** A function that has closed its own output is told nothing of it, as by the standard streams. */
    private void write(byte[] message, LogLevel level) {
        flush();
        try {
            if (frames != null) {
                frames.write(message, isJson, level);
            } else {
                output.write(line(message));
            }
        } catch (IOException closed) {
            return;
        }
    }

    /** Line ends inside a message become carriage returns, so that it stays one event. */
    private static byte[] line(byte[] message) {
        int length = message.length > 0 && message[message.length - 1] == '\n' ? message.length - 1 : message.length;
        byte[] line = new byte[length + 1];
        for (int i = 0; i < length; i++) {
            line[i] = message[i] == '\n' ? (byte) '\r' : message[i];
        }
        line[length] = '\n';
        return line;
    }
}
