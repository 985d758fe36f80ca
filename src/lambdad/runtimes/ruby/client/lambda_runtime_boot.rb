# frozen_string_literal: true

module LambdaRuntime
  # A runtime that is started before its function is known: it waits here for the function's variables.
  #
  # Nothing that is loaded by then may depend on a function: no gem but those that Ruby itself loads, and no library of which
  # RubyGems could find a newer version. Where the function brings one of the few that are there, Ruby is started anew.
  module Boot
    PLACES = '_LAMBDAD_BOOT' # "1022 1023": where the variables come from, and where to say that it is ready
    MOST_BYTES = 128 * 1024 # of a record
    # Those that Ruby loads by itself where it finds them.
    OF_RUBY = %w[rubygems did_you_mean error_highlight syntax_suggest].freeze
    HOMES = %i[config_home cache_home data_home state_home].freeze # of RubyGems, as far as this one has them
    ESCAPES = { 'b' => "\b", 'f' => "\f", 'n' => "\n", 'r' => "\r", 't' => "\t" }.freeze
    STRING = /"((?:[^"\\]|\\.)*+)"/.freeze
    ESCAPE = /\\(?:u(d[89ab]\h\h)\\u(d[c-f]\h\h)|u(\h{4})|(.))/i.freeze

    class << self
      # Returns when the process is as it would be if it had just been started for its function.
      def wait
        places = ENV.delete(PLACES)
        return unless places

        @features = OF_RUBY + parts_loaded
        record = receive(*places.split.map { |number| Integer(number, 10) })
        exit! 0 if record.nil? # there will be no function
        become(variables(record))
      end

      # A JSON object of strings, read without the library for that.
      def variables(record)
        texts = record.dup.force_encoding(Encoding::UTF_8).scan(STRING).map { |found| unescaped(found.first) }
        Hash[*texts]
      end

      private

      def receive(start, ready)
        IO.for_fd(ready, 'wb', autoclose: true).tap { |io| io.syswrite('.') }.close
        source = IO.for_fd(start, 'rb', autoclose: true)
        source.sysread(MOST_BYTES)
      rescue EOFError
        nil
      ensure
        source&.close
      end

      def unescaped(text)
        return text unless text.include?('\\')

        text.gsub(ESCAPE) do
          high, low, single, letter = Regexp.last_match.captures
          next ESCAPES.fetch(letter, letter) if letter

          code = single ? single.hex : 0x10000 + ((high.hex - 0xD800) << 10) + (low.hex - 0xDC00)
          [code].pack('U')
        end
      end

      # What is there already keeps its place, which is that of any function of the runtime, and so does what a script that starts
      # Ruby has added to the variables.
      def become(variables)
        variables.each { |name, value| ENV[name] = value }
        Dir.chdir(Dir.pwd) # to what is there now
        start_anew(variables) if brings_loaded?
        settle_gems
        $LOAD_PATH.replace($LOAD_PATH.dup) # Ruby looks anew what the folders are
      end

      # What RubyGems knew of folders that were empty, and of a home that may be another one now.
      def settle_gems
        Gem.clear_paths
        HOMES.each do |name|
          variable = "@#{name}"
          next unless Gem.instance_variable_get(variable)

          Gem.instance_variable_set(variable, nil)
          Gem.public_send(name) # it was asked for this while it was loaded
        end
      end

      def start_anew(variables)
        ENV.replace(variables)
        exec(RbConfig.ruby, $PROGRAM_NAME)
      end

      # Whether the function has something that would have been loaded in the place of what is loaded.
      def brings_loaded?
        gems = OF_RUBY + Gem.loaded_specs.keys
        folders('RUBYLIB').any? { |folder| any_entry?(folder) { |name| @features.include?(name[/\A[^.]+/]) } } ||
          folders('GEM_PATH').any? do |folder|
            any_entry?(File.join(folder, 'specifications')) { |name| gems.include?(name[/\A(.+?)-\d/, 1]) }
          end
      end

      def folders(variable)
        ENV[variable].to_s.split(File::PATH_SEPARATOR)
      end

      def any_entry?(folder, &block)
        Dir.children(folder).any?(&block)
      rescue Errno::ENOENT, Errno::ENOTDIR
        false
      rescue SystemCallError
        true # it cannot be listed, so it is not known
      end

      # The first parts of the names by which libraries were required.
      def parts_loaded
        folders = $LOAD_PATH.map { |folder| File.join(folder.to_s, '') }
        parts = $LOADED_FEATURES.map do |path|
          folder = folders.select { |each| path.start_with?(each) }.max_by(&:size)
          path[folder.size..-1][%r{\A[^/.]+}] if folder
        end
        parts.compact.uniq
      end
    end
  end
end
