using System;
using System.IO;

namespace Lambdad.Runtime
{
    /// <summary>
    /// Messages in frames, as the platform reads them: each is one log event, whatever is in it.
    ///
    /// Others write to the same pipe, so no write is larger than what a pipe takes in one piece, and a longer message goes in
    /// several frames of the same time.
    /// </summary>
    internal sealed class Frames
    {
        private const uint Json = 0xA55A0002;
        private const uint Text = 0xA55A0003;
        private const uint Continued = 0x40;
        private const int Head = 16;
        private const int Room = 4096 - Head; // of a pipe on Linux
        private const long TicksPerMicrosecond = TimeSpan.TicksPerMillisecond / 1000;
        private const long UnixEpochTicks = 621355968000000000;

        private readonly Stream output; // unbuffered
        private long lastTime;

        public Frames(Stream output) => this.output = output;

        public void Write(byte[] message, bool isJson, LogLevel level)
        {
            lock (this)
            {
                // No two messages have the same time: it is what holds the frames of one together.
                lastTime = Math.Max((DateTime.UtcNow.Ticks - UnixEpochTicks) / TicksPerMicrosecond, lastTime + 1);
                uint kind = (isJson ? Json : Text) | (uint)level << 2;
                int begun = 0;
                while (message.Length - begun > Room)
                {
                    Send(kind | Continued, message, begun, Room);
                    begun += Room;
                }
                Send(kind, message, begun, message.Length - begun);
            }
        }

        private void Send(uint kind, byte[] message, int start, int length)
        {
            byte[] frame = new byte[Head + length];
            Put(frame, 0, 4, kind);
            Put(frame, 4, 4, length);
            Put(frame, 8, 8, lastTime);
            Buffer.BlockCopy(message, start, frame, Head, length);
            output.Write(frame, 0, frame.Length);
            output.Flush();
        }

        private static void Put(byte[] frame, int start, int size, long value)
        {
            for (int i = size - 1; i >= 0; i--)
            {
                frame[start + i] = (byte)value;
                value >>= 8;
            }
        }
    }
}
