using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Reflection;
using System.Text;
using Amazon.Lambda.Core;

namespace Example.Json
{
    public sealed class JsonSerializerException : Exception
    {
        public JsonSerializerException(string message)
            : base(message)
        {
        }
    }

    /// <summary>A serializer as packages bring one along: objects by their properties, anything else by what JSON has.</summary>
    public sealed class JsonSerializer : ILambdaSerializer
    {
        public T Deserialize<T>(Stream stream)
        {
            using (StreamReader reader = new StreamReader(stream))
            {
                return (T)Reader.Fit(new Reader(reader.ReadToEnd()).Read(), typeof(T));
            }
        }

        public void Serialize<T>(T value, Stream stream)
        {
            StringBuilder text = new StringBuilder();
            Write(text, value, 0);
            byte[] bytes = Encoding.UTF8.GetBytes(text.ToString());
            stream.Write(bytes, 0, bytes.Length);
        }

        private static void Write(StringBuilder text, object value, int depth)
        {
            if (depth > 64)
            {
                throw new JsonSerializerException("an object that holds itself");
            }
            switch (value)
            {
                case null:
                    text.Append("null");
                    break;
                case string words:
                    Quote(text, words);
                    break;
                case bool truth:
                    text.Append(truth ? "true" : "false");
                    break;
                case int _:
                case long _:
                case double _:
                    text.Append(Convert.ToString(value, CultureInfo.InvariantCulture));
                    break;
                case IDictionary entries:
                    WriteMembers(text, Pairs(entries), depth);
                    break;
                case IEnumerable items:
                    WriteItems(text, items, depth);
                    break;
                default:
                    WriteMembers(text, Properties(value), depth);
                    break;
            }
        }

        private static IEnumerable<KeyValuePair<string, object>> Pairs(IDictionary entries)
        {
            foreach (DictionaryEntry entry in entries)
            {
                yield return new KeyValuePair<string, object>(entry.Key.ToString(), entry.Value);
            }
        }

        private static IEnumerable<KeyValuePair<string, object>> Properties(object value)
        {
            foreach (PropertyInfo property in value.GetType().GetProperties())
            {
                yield return new KeyValuePair<string, object>(property.Name, property.GetValue(value));
            }
        }

        private static void WriteMembers(StringBuilder text, IEnumerable<KeyValuePair<string, object>> members, int depth)
        {
            string separator = "{";
            foreach (KeyValuePair<string, object> member in members)
            {
                text.Append(separator);
                Quote(text, member.Key);
                text.Append(':');
                Write(text, member.Value, depth + 1);
                separator = ",";
            }
            text.Append(separator == "{" ? "{}" : "}");
        }

        private static void WriteItems(StringBuilder text, IEnumerable items, int depth)
        {
            string separator = "[";
            foreach (object item in items)
            {
                text.Append(separator);
                Write(text, item, depth + 1);
                separator = ",";
            }
            text.Append(separator == "[" ? "[]" : "]");
        }

        private static void Quote(StringBuilder text, string words)
        {
            text.Append('"');
            foreach (char letter in words)
            {
                if (letter < ' ' || letter == '"' || letter == '\\')
                {
                    text.Append("\\u").Append(((int)letter).ToString("x4"));
                }
                else
                {
                    text.Append(letter);
                }
            }
            text.Append('"');
        }
    }

    internal sealed class Reader
    {
        private readonly string text;
        private int at;

        public Reader(string text) => this.text = text;

        public static object Fit(object value, Type type)
        {
            if (value == null || type.IsInstanceOfType(value))
            {
                return value;
            }
            if (value is Dictionary<string, object> members && type.GetConstructor(Type.EmptyTypes) != null)
            {
                object made = Activator.CreateInstance(type);
                foreach (PropertyInfo property in type.GetProperties())
                {
                    if (members.TryGetValue(property.Name, out object member))
                    {
                        property.SetValue(made, Fit(member, property.PropertyType));
                    }
                }
                return made;
            }
            if (value is IConvertible && type.IsPrimitive)
            {
                return Convert.ChangeType(value, type, CultureInfo.InvariantCulture);
            }
            throw new JsonSerializerException("no " + type.Name + ": " + value);
        }

        public object Read()
        {
            object value = Value();
            Skip();
            return at == text.Length ? value : throw Wrong();
        }

        private JsonSerializerException Wrong() => new JsonSerializerException("no JSON at " + at);

        private object Value()
        {
            Skip();
            char letter = at < text.Length ? text[at] : throw Wrong();
            switch (letter)
            {
                case '{':
                    return Members();
                case '[':
                    return Items();
                case '"':
                    return Words();
                default:
                    return Scalar();
            }
        }

        private Dictionary<string, object> Members()
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
                string name = Words();
                Skip();
                Expect(':');
                members[name] = Value();
                Skip();
            }
            while (Take(','));
            Expect('}');
            return members;
        }

        private List<object> Items()
        {
            List<object> items = new List<object>();
            at++;
            Skip();
            if (Take(']'))
            {
                return items;
            }
            do
            {
                items.Add(Value());
                Skip();
            }
            while (Take(','));
            Expect(']');
            return items;
        }

        private string Words()
        {
            Expect('"');
            StringBuilder words = new StringBuilder();
            while (at < text.Length && text[at] != '"')
            {
                if (text[at] != '\\')
                {
                    words.Append(text[at++]);
                    continue;
                }
                char letter = text[at + 1];
                at += 2;
                if (letter == 'u')
                {
                    words.Append((char)Convert.ToInt32(text.Substring(at, 4), 16));
                    at += 4;
                }
                else
                {
                    words.Append(letter == 'n' ? '\n' : letter == 't' ? '\t' : letter);
                }
            }
            Expect('"');
            return words.ToString();
        }

        private object Scalar()
        {
            int start = at;
            while (at < text.Length && ",]} \n".IndexOf(text[at]) < 0)
            {
                at++;
            }
            string word = text.Substring(start, at - start);
            switch (word)
            {
                case "null":
                    return null;
                case "true":
                    return true;
                case "false":
                    return false;
            }
            if (long.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole))
            {
                return whole;
            }
            return double.TryParse(word, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : throw Wrong();
        }

        private void Skip()
        {
            while (at < text.Length && char.IsWhiteSpace(text[at]))
            {
                at++;
            }
        }

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
                throw Wrong();
            }
        }
    }
}
