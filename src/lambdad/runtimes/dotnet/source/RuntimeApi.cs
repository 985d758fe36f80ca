using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>
    /// The Runtime API as a blocking HTTP/1.1 client on one kept-alive connection.
    ///
    /// An answer and the question for the next invocation leave in one write, as far as the answer is not so long that it will be
    /// refused. On a bare connection: HttpClient loads and compiles for a hundred milliseconds before its first byte leaves.
    /// </summary>
    internal sealed class RuntimeApi
    {
        public const int MaxResponseBytes = 6 * 1024 * 1024 + 100;
        private const string Root = "/2018-06-01/runtime/";
        private const int Chunk = 65536;
        private const int ContentTooLarge = 413;
        private static readonly byte[] HeadEnd = { 13, 10, 13, 10 };

        /// <summary>The environment is being taken down.</summary>
        public sealed class ClosedException : Exception
        {
        }

        /// <summary>The message says what was refused, and with which words.</summary>
        public sealed class RefusedException : Exception
        {
            public RefusedException(string message)
                : base(message)
            {
            }
        }

        private struct Answer
        {
            public int Status;
            public Dictionary<string, string> Headers;
            public byte[] Body;
        }

        private readonly string address;
        private readonly byte[] nextRequest;
        private Connection connection;
        private byte[] received = new byte[Chunk];
        private int begin;
        private int end;
        private bool hasAsked; // whether the request for the next invocation is already on its way

        private RuntimeApi(string address)
        {
            this.address = address;
            nextRequest = Ascii.Bytes("GET " + Root + "invocation/next HTTP/1.1\r\nHost: " + address + "\r\n\r\n");
        }

        public static RuntimeApi Connect(string address)
        {
            RuntimeApi api = new RuntimeApi(address);
            api.Open();
            return api;
        }

        /// <summary>Waits, without any limit, for an invocation; the process may be frozen meanwhile.</summary>
        public Invocation Next()
        {
            if (!hasAsked)
            {
                Send(nextRequest, 0, nextRequest.Length);
            }
            hasAsked = false;
            Answer answer = Read();
            if (answer.Status != 200)
            {
                throw new RefusedException("the Runtime API refused an invocation: " + Text(answer));
            }
            return new Invocation(answer.Headers, answer.Body);
        }

        public void Respond(string requestId, MemoryStream body) =>
            Post("invocation/" + requestId + "/response", body, "");

        /// <summary>`cause` is what X-Ray would be told, or null.</summary>
        public void ReportError(string requestId, MemoryStream payload, string type, string cause)
        {
            string headers = ErrorHeader(type);
            if (cause != null)
            {
                headers += "Lambda-Runtime-Function-XRay-Error-Cause: " + cause + "\r\n";
            }
            Post("invocation/" + requestId + "/error", payload, headers);
        }

        public void ReportInitError(MemoryStream payload, string type)
        {
            byte[] message = Message("init/error", payload, ErrorHeader(type), new byte[0]);
            Send(message, 0, message.Length);
            Read();
        }

        private void Post(string path, MemoryStream body, string headers)
        {
            if (body.Length > MaxResponseBytes)
            {
                PostTooLong(Message(path, body, headers, new byte[0]));
                return;
            }
            byte[] message = Message(path, body, headers, nextRequest);
            Send(message, 0, message.Length);
            hasAsked = true;
            Check(Read());
        }

        /// <summary>It may be refused before it was read to its end; then what follows on this connection is undefined.</summary>
        private void PostTooLong(byte[] message)
        {
            int sent = 0;
            int count = 1;
            while (sent < message.Length && count > 0 && !connection.HasInput())
            {
                count = connection.Send(message, sent, Math.Min(Chunk, message.Length - sent));
                sent += Math.Max(count, 0);
            }
            Answer answer = Read(); // also where the other side takes no more: it has answered what it read
            Check(answer);
            answer.Headers.TryGetValue("connection", out string ending);
            if (sent < message.Length || Ascii.IsSame(ending, "close"))
            {
                connection.Close();
                begin = end = 0;
                Open();
            }
        }

        private byte[] Message(string path, MemoryStream body, string headers, byte[] tail)
        {
            int length = (int)body.Length;
            byte[] head = Ascii.Bytes("POST " + Root + path + " HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: " + length
                + "\r\nContent-Type: application/json\r\n" + headers + "\r\n");
            byte[] message = new byte[head.Length + length + tail.Length];
            Buffer.BlockCopy(head, 0, message, 0, head.Length);
            Buffer.BlockCopy(body.GetBuffer(), 0, message, head.Length, length);
            Buffer.BlockCopy(tail, 0, message, head.Length + length, tail.Length);
            return message;
        }

        private void Open()
        {
            connection = Connection.Open(address);
            if (connection == null)
            {
                throw new RefusedException("the Runtime API at '" + address + "' cannot be reached");
            }
        }

        private void Send(byte[] message, int start, int length)
        {
            while (length > 0)
            {
                int sent = connection.Send(message, start, length);
                if (sent < 1)
                {
                    throw new ClosedException();
                }
                start += sent;
                length -= sent;
            }
        }

        private Answer Read()
        {
            int stop = EndOfHead(begin);
            while (stop < 0)
            {
                int searched = Math.Max(begin, end - 3);
                int moved = begin;
                Fill(1);
                stop = EndOfHead(searched - (moved - begin));
            }
            Answer answer = ReadHead(Encoding.UTF8.GetString(received, begin, stop - begin));
            begin = stop + 4;
            int length = answer.Headers.TryGetValue("content-length", out string told) ? Ascii.Number(told) : 0;
            if (end - begin < length)
            {
                Fill(length - (end - begin));
            }
            answer.Body = new byte[length];
            Buffer.BlockCopy(received, begin, answer.Body, 0, length);
            begin += length;
            if (received.Length > 16 * Chunk) // an event of megabytes is no reason to hold as much for ever
            {
                byte[] rest = new byte[Math.Max(Chunk, end - begin)];
                Buffer.BlockCopy(received, begin, rest, 0, end - begin);
                received = rest;
                end -= begin;
                begin = 0;
            }
            return answer;
        }

        private static Answer ReadHead(string head)
        {
            Answer answer = new Answer { Status = Ascii.Number(head.Substring(9, 3)), Headers = new Dictionary<string, string>() };
            int start = head.IndexOf('\n') + 1;
            while (start > 0)
            {
                int stop = head.IndexOf('\n', start);
                string line = stop < 0 ? head.Substring(start) : head.Substring(start, stop - start);
                int colon = line.IndexOf(':');
                if (colon > 0)
                {
                    answer.Headers[Ascii.Lower(line.Substring(0, colon))] = line.Substring(colon + 1).Trim();
                }
                start = stop + 1;
            }
            return answer;
        }

        private int EndOfHead(int from)
        {
            int found = new ReadOnlySpan<byte>(received, from, end - from).IndexOf(HeadEnd);
            return found < 0 ? -1 : from + found;
        }

        /// <summary>Reads at least `missing` bytes more.</summary>
        private void Fill(int missing)
        {
            if (begin > 0)
            {
                Buffer.BlockCopy(received, begin, received, 0, end - begin);
                end -= begin;
                begin = 0;
            }
            if (received.Length < end + missing)
            {
                byte[] larger = new byte[Math.Max(end + missing, 2 * received.Length)];
                Buffer.BlockCopy(received, 0, larger, 0, end);
                received = larger;
            }
            while (missing > 0)
            {
                int count = Receive();
                end += count;
                missing -= count;
            }
        }

        private int Receive()
        {
            int count = connection.Receive(received, end, received.Length - end);
            return count > 0 ? count : throw new ClosedException();
        }

        /// <summary>413 has been told to the invoker already, and the environment goes on; whatever else is refused must not be
        /// lost.</summary>
        private static void Check(Answer answer)
        {
            if ((answer.Status < 200 || answer.Status > 299) && answer.Status != ContentTooLarge)
            {
                throw new RefusedException("the Runtime API refused an answer: " + Text(answer));
            }
        }

        private static string ErrorHeader(string type) => "Lambda-Runtime-Function-Error-Type: " + type + "\r\n";

        private static string Text(Answer answer) =>
            answer.Status + " " + Encoding.UTF8.GetString(answer.Body, 0, Math.Min(500, answer.Body.Length));
    }
}
