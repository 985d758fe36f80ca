package lambdad.runtime;

import java.io.ByteArrayOutputStream;

/** A result in bytes, whose buffer can be sent without a copy. */
final class Body extends ByteArrayOutputStream {
    Body(int capacity) {
        super(capacity);
    }

    static Body of(byte[] bytes) {
        Body body = new Body(0);
        body.buf = bytes;
        body.count = bytes.length;
        return body;
    }

    byte[] buffer() {
        return buf;
    }

    int length() {
        return count;
    }
}
