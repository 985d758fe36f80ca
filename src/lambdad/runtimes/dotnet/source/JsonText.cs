using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>JSON as it is written, a member after another. The framework has its own only from .NET Core 3.0 on.</summary>
    internal sealed class JsonText
    {
        private readonly StringBuilder text = new StringBuilder();
        private bool isFirst = true;

        public JsonText Begin()
        {
            text.Append('{');
            isFirst = true;
            return this;
        }

        public JsonText End()
        {
            text.Append('}');
            isFirst = false;
            return this;
        }

        /// <summary>Nothing where there is no value.</summary>
        public JsonText Add(string name, string value)
        {
            if (value != null)
            {
                Name(name);
                Quote(value);
            }
            return this;
        }

        public JsonText AddList(string name, IEnumerable<string> values)
        {
            Name(name);
            text.Append('[');
            string separator = "";
            foreach (string value in values)
            {
                text.Append(separator);
                Quote(value);
                separator = ",";
            }
            text.Append(']');
            return this;
        }

        /// <summary>`json` is written as it is.</summary>
        public JsonText AddJson(string name, string json)
        {
            Name(name);
            text.Append(json);
            return this;
        }

        /// <summary>Numbers, truth values, lists and dictionaries as such, anything else as its text.</summary>
        public JsonText AddValue(string name, object value)
        {
            Name(name);
            Value(value, 0);
            return this;
        }

        public override string ToString() => text.ToString();

        private void Name(string name)
        {
            if (!isFirst)
            {
                text.Append(',');
            }
            isFirst = false;
            Quote(name);
            text.Append(':');
        }

        private void Value(object value, int depth)
        {
            switch (value)
            {
                case null:
                    text.Append("null");
                    break;
                case bool truth:
                    text.Append(truth ? "true" : "false");
                    break;
                case double number when double.IsNaN(number) || double.IsInfinity(number):
                case float single when float.IsNaN(single) || float.IsInfinity(single):
                    Quote(Convert.ToString(value, CultureInfo.InvariantCulture));
                    break;
                case double _:
                case float _:
                    text.Append(((IFormattable)value).ToString("R", CultureInfo.InvariantCulture));
                    break;
                case byte _:
                case sbyte _:
                case short _:
                case ushort _:
                case int _:
                case uint _:
                case long _:
                case ulong _:
                case decimal _:
                    text.Append(Convert.ToString(value, CultureInfo.InvariantCulture));
                    break;
                case DateTime time:
                    Quote(time.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
                    break;
                case DateTimeOffset time:
                    Quote(time.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
                    break;
                case IDictionary dictionary when depth == 0:
                    Dictionary(dictionary);
                    break;
                case IList list when depth == 0:
                    List(list);
                    break;
                default:
                    Quote(Convert.ToString(value, CultureInfo.InvariantCulture) ?? "");
                    break;
            }
        }

        private void Dictionary(IDictionary dictionary)
        {
            text.Append('{');
            string separator = "";
            foreach (DictionaryEntry entry in dictionary)
            {
                text.Append(separator);
                Quote(entry.Key.ToString() ?? "");
                text.Append(':');
                Value(entry.Value, 1);
                separator = ",";
            }
            text.Append('}');
        }

        private void List(IList list)
        {
            text.Append('[');
            string separator = "";
            foreach (object item in list)
            {
                text.Append(separator);
                Value(item, 1);
                separator = ",";
            }
            text.Append(']');
        }

        private void Quote(string value) => Quote(text, value, false);

        /// <summary>`isAscii`: for a header line, which takes nothing else.</summary>
        public static void Quote(StringBuilder text, string value, bool isAscii)
        {
            text.Append('"');
            foreach (char letter in value)
            {
                switch (letter)
                {
                    case '"':
                        text.Append("\\\"");
                        break;
                    case '\\':
                        text.Append("\\\\");
                        break;
                    case '\n':
                        text.Append("\\n");
                        break;
                    case '\r':
                        text.Append("\\r");
                        break;
                    case '\t':
                        text.Append("\\t");
                        break;
                    default:
                        if (letter < ' ' || letter == '\x7f' || (letter > '\x7f' && (isAscii || char.IsSurrogate(letter))))
                        {
                            text.Append("\\u").Append(((int)letter).ToString("x4", CultureInfo.InvariantCulture));
                        }
                        else
                        {
                            text.Append(letter);
                        }
                        break;
                }
            }
            text.Append('"');
        }
    }
}
