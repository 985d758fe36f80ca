using System;
using System.IO;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>`Console.Out` and `Console.Error` from .NET 5 on: each WriteLine is a message, each Write goes out as it is.</summary>
    internal sealed class ConsoleWriter : TextWriter
    {
        private readonly FunctionLog log;
        private readonly LogLevel level;

        public ConsoleWriter(FunctionLog log, LogLevel level)
        {
            this.log = log;
            this.level = level;
        }

        public override Encoding Encoding => new UTF8Encoding(false);

        public override void Write(char value) => log.WriteRaw(value.ToString());

        public override void Write(string value) => log.WriteRaw(value ?? "");

        public override void Write(char[] buffer, int index, int count) => log.WriteRaw(new string(buffer, index, count));

        public override void WriteLine() => log.Write("", level);

        public override void WriteLine(string value) => log.Write(value, level);

        public override void WriteLine(object value) => WriteLine(value == null ? "" : value.ToString());

        public override void WriteLine(bool value) => WriteLine(value.ToString());

        public override void WriteLine(char value) => WriteLine(value.ToString());

        public override void WriteLine(char[] buffer) => WriteLine(buffer == null ? "" : new string(buffer));

        public override void WriteLine(char[] buffer, int index, int count) => WriteLine(new string(buffer, index, count));

        public override void WriteLine(int value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(uint value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(long value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(ulong value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(float value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(double value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(decimal value) => WriteLine(value.ToString(FormatProvider));

        public override void WriteLine(string format, object first) => WriteLine(string.Format(FormatProvider, format, first));

        public override void WriteLine(string format, object first, object second) =>
            WriteLine(string.Format(FormatProvider, format, first, second));

        public override void WriteLine(string format, object first, object second, object third) =>
            WriteLine(string.Format(FormatProvider, format, first, second, third));

        public override void WriteLine(string format, params object[] values) =>
            WriteLine(string.Format(FormatProvider, format, values));
    }
}
