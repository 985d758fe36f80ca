using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Lambdad.Runtime
{
    /// <summary>
    /// The function's log, each of whose messages is one log event.
    ///
    /// Up to .NET Core 3.1 messages are as the function wrote them, and the console is left alone; from .NET 5 on each line gets a
    /// time, the request's id and a level, as on AWS. With the log format JSON messages are objects.
    /// </summary>
    internal sealed class FunctionLog
    {
        private const string DescriptorVariable = "_LAMBDA_TELEMETRY_LOG_FD";
        private const int StandardOutput = 1;

        private readonly bool takesFrames;
        private readonly bool isJson;
        private readonly bool hasPrefix;
        private readonly LogLevel least;
        private readonly object lockOfOpening = new object();
        private Stream output; // opened by the first message
        private Frames frames; // null where the platform reads none

        private FunctionLog(bool takesFrames, bool isOld)
        {
            this.takesFrames = takesFrames;
            isJson = Is("AWS_LAMBDA_LOG_FORMAT", "JSON");
            hasPrefix = !isOld && !Is("AWS_LAMBDA_HANDLER_LOG_FORMAT", "Unformatted");
            string level = Environment.GetEnvironmentVariable("AWS_LAMBDA_HANDLER_LOG_LEVEL");
            least = LogLevels.Of(level ?? Environment.GetEnvironmentVariable("AWS_LAMBDA_LOG_LEVEL"), LogLevel.Information);
        }

        /// <summary>Null before the first.</summary>
        public Invocation Invocation { get; set; }

        public static FunctionLog Open()
        {
            bool takesFrames = Is(DescriptorVariable, "1");
            if (takesFrames)
            {
                Environment.SetEnvironmentVariable(DescriptorVariable, null); // no program of the function's is to find it
            }
            bool isOld = RuntimeName.IsOld;
            FunctionLog log = new FunctionLog(takesFrames, isOld);
            if (!isOld)
            {
                Console.SetOut(new ConsoleWriter(log, LogLevel.Information));
                Console.SetError(new ConsoleWriter(log, LogLevel.Error));
            }
            return log;
        }

        private Frames Frames()
        {
            Output();
            return frames;
        }

        /// <summary>Without a buffer, so that what was written is in the pipe.</summary>
        private Stream Output()
        {
            lock (lockOfOpening)
            {
                if (output == null)
                {
                    output = new FileStream(new SafeFileHandle((IntPtr)StandardOutput, false), FileAccess.Write, 1);
                    frames = takesFrames ? new Frames(output) : null;
                }
                return output;
            }
        }

        private static bool Is(string variable, string value) =>
            Ascii.IsSame(Environment.GetEnvironmentVariable(variable), value);

        /// <summary>Level None: it has none, and is written whatever level is wanted.</summary>
        public void Write(string message, LogLevel level)
        {
            if (level == LogLevel.None || level >= least)
            {
                Emit(isJson ? Record(message ?? "", level, null, null) : Line(message, level), level);
            }
        }

        /// <summary>A template with {names} for its arguments, and an exception, each perhaps null.</summary>
        public void Write(LogLevel level, Exception exception, string template, object[] arguments)
        {
            if (level != LogLevel.None && level < least)
            {
                return;
            }
            LogTemplate parsed = new LogTemplate(template ?? "", arguments);
            if (isJson)
            {
                Emit(Record(parsed.Text, level, exception, parsed.Properties), level);
                return;
            }
            string described = exception == null ? "" : StackTraces.Described(exception);
            Emit(Line(parsed.Text + (parsed.Text.Length > 0 && exception != null ? "\n" : "") + described, level), level);
        }

        /// <summary>What the handler threw, or by its name alone where its own members throw.</summary>
        public void WriteException(Exception thrown)
        {
            try
            {
                if (isJson || hasPrefix)
                {
                    Write(LogLevel.Error, thrown, "", new object[0]);
                    return;
                }
                string trace = StackTraces.Text(thrown);
                Emit(thrown.Message + ": " + thrown.GetType().Name + (trace.Length > 0 ? "\n" + trace : ""), LogLevel.Error);
            }
            catch (Exception worse) when (!(worse is OutOfMemoryException))
            {
                Write(thrown.GetType().Name, LogLevel.Error);
            }
        }

        /// <summary>Text as it is, a line or a part of one.</summary>
        public void WriteRaw(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            Send(() => Output().Write(bytes, 0, bytes.Length));
        }

        private string Line(string message, LogLevel level)
        {
            if (!hasPrefix)
            {
                return message ?? "";
            }
            StringBuilder line = new StringBuilder(Time()).Append('\t').Append(Invocation?.RequestId).Append('\t');
            if (level != LogLevel.None)
            {
                line.Append(LogLevels.Label(level)).Append('\t');
            }
            return line.Append(message).ToString();
        }

        private string Record(
            string message, LogLevel level, Exception exception, IReadOnlyList<KeyValuePair<string, object>> properties)
        {
            JsonText json = new JsonText().Begin();
            json.Add("timestamp", Time()).Add("level", (level == LogLevel.None ? LogLevel.Information : level).ToString());
            if (Invocation != null)
            {
                json.Add("requestId", Invocation.RequestId).Add("traceId", Invocation.Header("lambda-runtime-trace-id"));
                json.Add("tenantId", Invocation.TenantId);
            }
            json.Add("message", message);
            if (properties != null)
            {
                foreach (KeyValuePair<string, object> property in properties)
                {
                    json.AddValue(property.Key, property.Value);
                }
            }
            if (exception != null)
            {
                json.Add("errorType", exception.GetType().FullName).Add("errorMessage", exception.Message);
                json.AddList("stackTrace", StackTraces.Lines(StackTraces.Described(exception)));
            }
            return json.End().ToString();
        }

        private static string Time() => DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

        private void Emit(string message, LogLevel level)
        {
            if (takesFrames)
            {
                byte[] bytes = Encoding.UTF8.GetBytes(message);
                Send(() => Frames().Write(bytes, isJson, level));
            }
            else // line ends inside a message become carriage returns, so that it stays one event
            {
                WriteRaw(message.TrimEnd('\n').Replace("\r\n", "\r").Replace('\n', '\r') + "\n");
            }
        }

        /// <summary>A function that has closed its own output is told nothing of it, as by the console.</summary>
        private static void Send(Action write)
        {
            try
            {
                write();
            }
            catch (Exception closed) when (closed is IOException || closed is UnauthorizedAccessException)
            {
                return;
            }
        }
    }
}
