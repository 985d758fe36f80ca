using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>
    /// A message with names in braces for its arguments: "Bought {count} of {product}", or "{0} of {1}" by their numbers.
    ///
    /// "{count:000}" formats, "{@order}" is written as what the argument says of itself, and "{{" is a brace.
    /// </summary>
    internal sealed class LogTemplate
    {
        private readonly List<KeyValuePair<string, object>> properties = new List<KeyValuePair<string, object>>();

        public LogTemplate(string template, object[] arguments)
        {
            Text = arguments == null || arguments.Length == 0 ? template : Fill(template, arguments);
        }

        /// <summary>With the arguments in their places.</summary>
        public string Text { get; }

        /// <summary>Those that have a value, by name, as objects or as texts that were formatted.</summary>
        public IReadOnlyList<KeyValuePair<string, object>> Properties => properties;

        private string Fill(string template, object[] arguments)
        {
            StringBuilder text = new StringBuilder();
            bool isNumbered = true;
            List<string> holes = Holes(template);
            foreach (string hole in holes)
            {
                isNumbered &= int.TryParse(Name(hole), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                    && number < arguments.Length;
            }
            int used = 0;
            for (int i = 0; i < template.Length; i++)
            {
                char letter = template[i];
                bool isDoubled = i + 1 < template.Length && template[i + 1] == letter;
                if ((letter == '{' || letter == '}') && isDoubled)
                {
                    text.Append(letter);
                    i++;
                    continue;
                }
                int stop = letter == '{' ? template.IndexOf('}', i) : -1;
                if (stop < 0 || used >= holes.Count)
                {
                    text.Append(letter);
                    continue;
                }
                string hole = holes[used];
                int index = isNumbered ? int.Parse(Name(hole), CultureInfo.InvariantCulture) : used;
                used++;
                if (index >= arguments.Length)
                {
                    text.Append('{').Append(hole).Append('}');
                }
                else
                {
                    text.Append(Take(hole, arguments[index]));
                }
                i = stop;
            }
            return text.ToString();
        }

        private string Take(string hole, object argument)
        {
            int colon = hole.IndexOf(':');
            string format = colon < 0 ? null : hole.Substring(colon + 1);
            string text = argument is IFormattable formattable
                ? formattable.ToString(format, CultureInfo.InvariantCulture)
                : Convert.ToString(argument, CultureInfo.InvariantCulture);
            if (argument != null)
            {
                properties.Add(new KeyValuePair<string, object>(Name(hole), format == null ? argument : text));
            }
            return text;
        }

        private static List<string> Holes(string template)
        {
            List<string> holes = new List<string>();
            for (int i = 0; i < template.Length; i++)
            {
                if (template[i] != '{')
                {
                    continue;
                }
                if (i + 1 < template.Length && template[i + 1] == '{')
                {
                    i++;
                    continue;
                }
                int stop = template.IndexOf('}', i);
                if (stop < 0)
                {
                    break;
                }
                holes.Add(template.Substring(i + 1, stop - i - 1));
                i = stop;
            }
            return holes;
        }

        private static string Name(string hole)
        {
            int colon = hole.IndexOf(':');
            return (colon < 0 ? hole : hole.Substring(0, colon)).TrimStart('@').Trim();
        }
    }
}
