using System;

namespace Lambdad.Runtime
{
    /// <summary>In the order, and with the numbers, of the platform's frames.</summary>
    internal enum LogLevel
    {
        None,
        Trace,
        Debug,
        Information,
        Warning,
        Error,
        Critical,
    }

    internal static class LogLevels
    {
        private static readonly string[] Labels = { null, "trce", "dbug", "info", "warn", "fail", "crit" };

        /// <summary>By .NET's name ("Information") or the platform's ("INFO"), in any case; `otherwise` for any other.</summary>
        public static LogLevel Of(string name, LogLevel otherwise)
        {
            switch (name == null ? "" : name.ToUpperInvariant())
            {
                case "TRACE":
                    return LogLevel.Trace;
                case "DEBUG":
                    return LogLevel.Debug;
                case "INFO":
                case "INFORMATION":
                    return LogLevel.Information;
                case "WARN":
                case "WARNING":
                    return LogLevel.Warning;
                case "ERROR":
                    return LogLevel.Error;
                case "FATAL":
                case "CRITICAL":
                    return LogLevel.Critical;
                default:
                    return otherwise;
            }
        }

        /// <summary>As AWS's runtimes for .NET write it in lines of text.</summary>
        public static string Label(LogLevel level) => Labels[(int)level];
    }
}
