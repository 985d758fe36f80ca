package lambdad.runtime;

import com.amazonaws.services.lambda.runtime.logging.LogLevel;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;

/**
 * Messages in frames, as the platform reads them: each is one log event, whatever is in it.
 *
 * <p>Others write to the same pipe, so no write is larger than what a pipe takes in one piece, and a longer message goes in
 * several frames of the same time.
 */
final class Frames {
    private static final int JSON = 0xA55A0002;
    private static final int TEXT = 0xA55A0003;
    private static final int CONTINUED = 0x40;
    private static final int HEAD = 16;
    private static final int ROOM = pipeBytes() - HEAD;

    private final OutputStream output; // unbuffered
    private long lastTime;

    Frames(OutputStream output) {
        this.output = output;
    }

    synchronized void write(byte[] message, boolean isJson, LogLevel level) throws IOException {
        // No two messages have the same time: it is what holds the frames of one together.
        lastTime = Math.max(System.currentTimeMillis() * 1000, lastTime + 1);
        int kind = (isJson ? JSON : TEXT) | level.ordinal() << 2;
        int begun = 0;
        while (message.length - begun > ROOM) {
            send(kind | CONTINUED, message, begun, ROOM);
            begun += ROOM;
        }
        send(kind, message, begun, message.length - begun);
    }

    private void send(int kind, byte[] message, int begin, int length) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(HEAD + length);
        frame.putInt(kind).putInt(length).putLong(lastTime).put(message, begin, length);
        output.write(frame.array());
    }

    private static int pipeBytes() {
        return System.getProperty("os.name", "").equals("Linux") ? 4096 : 512;
    }
}
