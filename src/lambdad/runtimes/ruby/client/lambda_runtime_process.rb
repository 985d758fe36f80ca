# frozen_string_literal: true

module LambdaRuntime
  # The process around the function: its search path and its encoding.
  module Process
    class << self
      def settle
        silently do
          Encoding.default_external = Encoding::UTF_8 # whether or not this machine has the function's locale
        end
        [STDIN, STDOUT, STDERR].each { |stream| stream.set_encoding(Encoding::UTF_8) }
        task_root = ENV['LAMBDA_TASK_ROOT'] || '/var/task'
        $LOAD_PATH.unshift(task_root) unless $LOAD_PATH.include?(task_root)
        forget_own_library
      end

      def say(message)
        STDERR.write("#{message}\n")
      rescue SystemCallError, IOError
        nil # the function closed its own output; nobody is left to be told
      end

      private

      # A Ruby that lambdad installed is told by RUBYLIB where it lies; programs of the function's are not to hear of that.
      def forget_own_library
        own = File.join(RbConfig::TOPDIR, '')
        kept = ENV['RUBYLIB'].to_s.split(File::PATH_SEPARATOR).reject { |folder| folder.start_with?(own) && folder.include?('ruby/') }
        ENV['RUBYLIB'] = kept.empty? ? nil : kept.join(File::PATH_SEPARATOR)
      end

      def silently
        verbose = $VERBOSE
        $VERBOSE = nil
        yield
      ensure
        $VERBOSE = verbose
      end
    end
  end
end
