using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>
    /// Reads what little JSON comes in headers: an object becomes a Dictionary, anything else in it but strings and objects the text
    /// that it was written as.
    /// </summary>
    internal sealed class JsonReader
    {
        private const int MaxDepth = 64;

        private readonly string text;
        private int at;

        private JsonReader(string text) => this.text = text;

        /// <summary>Null when it is not a JSON object: the invoker may have sent whatever it liked.</summary>
        public static Dictionary<string, object> Object(string text)
        {
            if (string.IsNullOrEmpty(text))
            {
                return null;
            }
            JsonReader reader = new JsonReader(text);
            try
            {
                Dictionary<string, object> told = reader.Value(0) as Dictionary<string, object>;
                reader.Skip();
                return reader.at == text.Length ? told : null;
            }
            catch (FormatException)
            {
                return null;
            }
        }

        public static Dictionary<string, object> Member(Dictionary<string, object> told, string name) =>
            told != null && told.TryGetValue(name, out object value) ? value as Dictionary<string, object> : null;

        /// <summary>Null where there is none, or it is no single value.</summary>
        public static string Text(Dictionary<string, object> told, string name) =>
            told != null && told.TryGetValue(name, out object value) ? value as string : null;

        private object Value(int depth)
        {
            Skip();
            if (depth > MaxDepth)
            {
                throw new FormatException();
            }
            switch (Peek())
            {
                case '{':
                    return Members(depth);
                case '"':
                    return String();
                case '[':
                    return List(depth);
                default:
                    return Scalar();
            }
        }

        private Dictionary<string, object> Members(int depth)
        {
            Dictionary<string, object> members = new Dictionary<string, object>();
            at++;
            Skip();
            if (Take('}'))
            {
                return members;
            }
            do
            {
                Skip();
                string name = String();
                Skip();
                Expect(':');
                members[name] = Value(depth + 1);
                Skip();
            }
            while (Take(','));
            Expect('}');
            return members;
        }

        private string List(int depth)
        {
            int start = at++;
            Skip();
            if (!Take(']'))
            {
                do
                {
                    Value(depth + 1);
                    Skip();
                }
                while (Take(','));
                Expect(']');
            }
            return text.Substring(start, at - start);
        }

        /// <summary>A number, or true, false; null for null.</summary>
        private string Scalar()
        {
            int start = at;
            while (at < text.Length && (char.IsLetterOrDigit(text[at]) || text[at] == '-' || text[at] == '+' || text[at] == '.'))
            {
                at++;
            }
            string word = text.Substring(start, at - start);
            if (word == "null")
            {
                return null;
            }
            if (word == "true" || word == "false"
                || double.TryParse(word, NumberStyles.Float, CultureInfo.InvariantCulture, out double _))
            {
                return word;
            }
            throw new FormatException();
        }

        private string String()
        {
            Expect('"');
            StringBuilder value = new StringBuilder();
            while (Peek() != '"')
            {
                char letter = text[at++];
                value.Append(letter == '\\' ? Escaped() : letter);
            }
            at++;
            return value.ToString();
        }

        private char Escaped()
        {
            char letter = Peek();
            at++;
            switch (letter)
            {
                case 'b':
                    return '\b';
                case 'f':
                    return '\f';
                case 'n':
                    return '\n';
                case 'r':
                    return '\r';
                case 't':
                    return '\t';
                case 'u':
                    if (at + 4 > text.Length)
                    {
                        throw new FormatException();
                    }
                    at += 4;
                    return (char)ushort.Parse(text.Substring(at - 4, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
                case '"':
                case '\\':
                case '/':
                    return letter;
                default:
                    throw new FormatException();
            }
        }

        private void Skip()
        {
            while (at < text.Length && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
            {
                at++;
            }
        }

        private char Peek() => at < text.Length ? text[at] : throw new FormatException();

        private bool Take(char letter)
        {
            if (at >= text.Length || text[at] != letter)
            {
                return false;
            }
            at++;
            return true;
        }

        private void Expect(char letter)
        {
            if (!Take(letter))
            {
                throw new FormatException();
            }
        }
    }
}
