using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>What AWS's runtimes tell X-Ray of an exception, in the header of an error.</summary>
    internal static class XRayCause
    {
        private const int MaxBytes = 16 * 1024; // servers bound the lines of a request

        /// <summary>One line of ASCII; null where it would be too long, or cannot be told.</summary>
        public static string Of(Exception thrown)
        {
            try
            {
                string cause = Describe(thrown);
                return cause.Length <= MaxBytes ? cause : null;
            }
            catch (Exception worse) when (!(worse is OutOfMemoryException)) // an exception whose own members throw
            {
                return null;
            }
        }

        private static string Describe(Exception thrown)
        {
            StringBuilder text = new StringBuilder("{\"working_directory\":");
            JsonText.Quote(text, Directory.GetCurrentDirectory(), true);
            text.Append(",\"exceptions\":[{\"type\":");
            JsonText.Quote(text, ErrorPayload.TypeOf(thrown), true);
            text.Append(",\"message\":");
            JsonText.Quote(text, thrown.Message, true);
            List<string> paths = new List<string>();
            AppendStack(text, thrown, paths);
            text.Append("}],\"paths\":[");
            for (int i = 0; i < paths.Count; i++)
            {
                text.Append(i > 0 ? "," : "");
                JsonText.Quote(text, paths[i], true);
            }
            return text.Append("]}").ToString();
        }

        private static void AppendStack(StringBuilder text, Exception thrown, List<string> paths)
        {
            StackFrame[] frames = new StackTrace(thrown, true).GetFrames() ?? new StackFrame[0];
            int count = Array.FindIndex(frames, frame => TypeOf(frame)?.Namespace == typeof(XRayCause).Namespace);
            count = count < 0 ? frames.Length : count;
            while (count > 0 && StackTraces.IsOfCall(TypeOf(frames[count - 1])))
            {
                count--;
            }
            if (count == 0)
            {
                return;
            }
            text.Append(",\"stack\":[");
            for (int i = 0; i < count; i++)
            {
                text.Append(i > 0 ? ",{" : "{");
                AppendFrame(text, frames[i], paths);
                text.Append('}');
            }
            text.Append(']');
        }

        private static Type TypeOf(StackFrame frame) => frame.GetMethod()?.DeclaringType;

        private static void AppendFrame(StringBuilder text, StackFrame frame, List<string> paths)
        {
            string path = frame.GetFileName();
            if (path != null)
            {
                text.Append("\"path\":");
                JsonText.Quote(text, path, true);
                text.Append(",\"line\":").Append(frame.GetFileLineNumber()).Append(',');
                if (!paths.Contains(path))
                {
                    paths.Add(path);
                }
            }
            string method = frame.GetMethod()?.Name ?? "";
            text.Append("\"label\":");
            JsonText.Quote(text, TypeOf(frame) == null ? method : TypeOf(frame).Name + "." + method, true);
        }
    }
}
