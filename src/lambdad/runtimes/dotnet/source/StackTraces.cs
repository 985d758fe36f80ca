using System;
using System.Collections.Generic;

namespace Lambdad.Runtime
{
    /// <summary>Stack traces as the function's author knows them: without what called the handler.</summary>
    internal static class StackTraces
    {
        private const string Own = "at Lambdad.Runtime.";
        private static readonly string[] Reflection =
        {
            "System.RuntimeMethodHandle", "System.Reflection.", "InvokeStub_", "System.RuntimeType", "System.Activator",
        };

        /// <summary>Those of `thrown`; none where it was never thrown.</summary>
        public static List<string> Of(Exception thrown)
        {
            List<string> lines = Lines(thrown.StackTrace ?? "");
            int own = lines.FindIndex(line => line.StartsWith(Own, StringComparison.Ordinal));
            if (own >= 0)
            {
                lines.RemoveRange(own, lines.Count - own);
                while (lines.Count > 0 && IsOfCall(lines[lines.Count - 1]))
                {
                    lines.RemoveAt(lines.Count - 1);
                }
            }
            return lines;
        }

        /// <summary>Also those of its causes.</summary>
        public static string Text(Exception thrown)
        {
            List<string> all = new List<string>();
            int depth = 0;
            for (Exception one = thrown; one != null && depth < ErrorPayload.MaxCauses; one = one.InnerException, depth++)
            {
                if (depth > 0)
                {
                    all.Add("caused by " + one.GetType().Name + ": " + one.Message);
                }
                foreach (string line in Of(one))
                {
                    all.Add("   " + line);
                }
            }
            return string.Join("\n", all);
        }

        /// <summary>All that an exception says of itself, its causes too, but for the client's calls.</summary>
        public static string Described(Exception thrown)
        {
            List<string> lines = new List<string>(thrown.ToString().Split('\n'));
            lines.RemoveAll(line => IsOfClient(line.TrimStart()));
            return string.Join("\n", lines);
        }

        public static List<string> Lines(string text)
        {
            List<string> lines = new List<string>();
            foreach (string line in text.Split('\n'))
            {
                string trimmed = line.Trim();
                if (trimmed.Length > 0)
                {
                    lines.Add(trimmed);
                }
            }
            return lines;
        }

        /// <summary>Whether it stands between the client and the function.</summary>
        public static bool IsOfCall(Type type) =>
            type != null && Array.Exists(Reflection, part => type.FullName.StartsWith(part, StringComparison.Ordinal));

        private static bool IsOfCall(string line) => line.StartsWith("---", StringComparison.Ordinal) || IsOfClient(line);

        private static bool IsOfClient(string line) =>
            line.StartsWith(Own, StringComparison.Ordinal)
            || Array.Exists(Reflection, part => line.StartsWith("at " + part, StringComparison.Ordinal));
    }
}
