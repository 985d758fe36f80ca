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
            switch (Ascii.Lower(name ?? ""))
            {
                case "trace":
                    return LogLevel.Trace;
                case "debug":
                    return LogLevel.Debug;
                case "info":
                case "information":
                    return LogLevel.Information;
                case "warn":
                case "warning":
                    return LogLevel.Warning;
                case "error":
                    return LogLevel.Error;
                case "fatal":
                case "critical":
                    return LogLevel.Critical;
                default:
                    return otherwise;
            }
        }

        /// <summary>As AWS's runtimes for .NET write it in lines of text.</summary>
        public static string Label(LogLevel level) => Labels[(int)level];
    }
}
