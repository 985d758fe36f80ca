using System;
using System.Runtime.InteropServices;

namespace Lambdad.Runtime
{
    /// <summary>
    /// A blocking TCP connection to an IPv4 address, by the C library's own functions: .NET's sockets load and compile for 13
    /// milliseconds of a start. .NET itself sees to it that SIGPIPE ends nothing.
    /// </summary>
    internal sealed class Connection
    {
        private const int Ipv4 = 2;
        private const int Stream = 1;
        private const int NotForChildren = 0x80000; // SOCK_CLOEXEC, of Linux alone
        private const int CloseInChildren = 0x20006601; // FIOCLEX, of macOS
        private const int Tcp = 6;
        private const int NoDelay = 1;
        private const int Segment = 1024; // no more than what goes out in one
        private const int Interrupted = 4; // EINTR
        private const short Readable = 1; // POLLIN

        [StructLayout(LayoutKind.Sequential)]
        private struct Polled
        {
            public int Descriptor;
            public short Wanted;
            public short Found;
        }

        private readonly int descriptor;
        private bool hasNoDelay;

        private Connection(int descriptor) => this.descriptor = descriptor;

        /// <summary>Null where it is not of the form "169.254.100.1:9001", or nobody listens there.</summary>
        public static Connection Open(string address)
        {
            byte[] name = SocketName(address);
            if (name == null)
            {
                return null;
            }
            Connection made = new Connection(Socket());
            name[0] = Ipv4; // where the first two bytes are a number, as on Linux
            if (connect(made.descriptor, name, name.Length) == 0)
            {
                return made;
            }
            name[0] = 0;
            name[1] = Ipv4; // where they are a length, which nobody looks at, and the number
            if (connect(made.descriptor, name, name.Length) == 0)
            {
                return made;
            }
            made.Close();
            return null;
        }

        /// <summary>No program that the function starts has it: one that goes on behind the function would hold it open.</summary>
        private static int Socket()
        {
            int descriptor = socket(Ipv4, Stream | NotForChildren, 0);
            if (descriptor < 0)
            {
                descriptor = socket(Ipv4, Stream, 0);
                ioctl(descriptor, (UIntPtr)CloseInChildren);
            }
            return descriptor;
        }

        /// <summary>A `struct sockaddr_in` without its first two bytes.</summary>
        private static byte[] SocketName(string address)
        {
            string[] parts = address.Split('.', ':');
            byte[] name = new byte[16];
            if (parts.Length != 5)
            {
                return null;
            }
            for (int i = 0; i < 4; i++)
            {
                int number = Ascii.Number(parts[i]);
                if (number < 0 || number > byte.MaxValue)
                {
                    return null;
                }
                name[4 + i] = (byte)number;
            }
            int port = Ascii.Number(parts[4]);
            name[2] = (byte)(port >> 8);
            name[3] = (byte)port;
            return port > 0 && port <= ushort.MaxValue ? name : null;
        }

        /// <summary>How much of it was taken; less than 1 where the connection has ended.</summary>
        public int Send(byte[] data, int start, int length)
        {
            if (length > Segment && !hasNoDelay) // else its end would wait until its beginning is acknowledged
            {
                int on = 1;
                setsockopt(descriptor, Tcp, NoDelay, ref on, sizeof(int));
                hasNoDelay = true;
            }
            int sent;
            do
            {
                sent = (int)send(descriptor, ref data[start], (IntPtr)length, 0);
            }
            while (sent < 0 && Marshal.GetLastWin32Error() == Interrupted);
            return sent;
        }

        /// <summary>At least one byte; less where the connection has ended.</summary>
        public int Receive(byte[] data, int start, int length)
        {
            int received;
            do
            {
                received = (int)recv(descriptor, ref data[start], (IntPtr)length, 0);
            }
            while (received < 0 && Marshal.GetLastWin32Error() == Interrupted);
            return received;
        }

        /// <summary>Whether something is there to be received, an end too.</summary>
        public bool HasInput()
        {
            Polled polled = new Polled { Descriptor = descriptor, Wanted = Readable };
            return poll(ref polled, (UIntPtr)1, 0) > 0;
        }

        public void Close() => close(descriptor);

        [DllImport("libc")]
        private static extern int socket(int family, int kind, int protocol);

        [DllImport("libc")]
        private static extern int ioctl(int descriptor, UIntPtr request);

        [DllImport("libc")]
        private static extern int connect(int descriptor, byte[] name, int length);

        [DllImport("libc")]
        private static extern int setsockopt(int descriptor, int level, int option, ref int value, int length);

        [DllImport("libc", SetLastError = true)]
        private static extern IntPtr send(int descriptor, ref byte data, IntPtr length, int flags);

        [DllImport("libc", SetLastError = true)]
        private static extern IntPtr recv(int descriptor, ref byte data, IntPtr length, int flags);

        [DllImport("libc")]
        private static extern int poll(ref Polled polled, UIntPtr count, int milliseconds);

        [DllImport("libc")]
        private static extern int close(int descriptor);
    }
}
