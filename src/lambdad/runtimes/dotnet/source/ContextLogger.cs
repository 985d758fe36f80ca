using System;
using Amazon.Lambda.Core;

namespace Lambdad.Runtime
{
    /// <summary>The logger of the context, with the members of all versions of its interface.</summary>
    internal class ContextLogger : ILambdaLogger
    {
        private readonly FunctionLog log;

        public ContextLogger(FunctionLog log) => this.log = log;

        /// <summary>Up to .NET Core 3.1 a message like any other; later it goes out as it is, without an end of its line.</summary>
        public void Log(string message)
        {
            if (RuntimeName.IsOld)
            {
                log.Write(message, LogLevel.None);
            }
            else
            {
                log.WriteRaw(message ?? "");
            }
        }

        public void LogLine(string message) => log.Write(message, RuntimeName.IsOld ? LogLevel.None : LogLevel.Information);

        public virtual void Log(string level, string message) => log.Write(message, LogLevels.Of(level, LogLevel.Information));

        public virtual void Log(string level, string message, object[] arguments) =>
            log.Write(LogLevels.Of(level, LogLevel.Information), null, message, arguments);

        public virtual void Log(string level, Exception exception, string message, object[] arguments) =>
            log.Write(LogLevels.Of(level, LogLevel.Information), exception, message, arguments);
    }
}
