# frozen_string_literal: true

module LambdaRuntime
  # Messages in frames, as the platform reads them from `_LAMBDA_TELEMETRY_LOG_FD`: each is one log event, whatever is in it.
  #
  # The descriptor may be standard output itself, on which others write too: so no write is larger than what a pipe takes in one
  # piece, and a longer message goes in several frames of the same time.
  class Frames
    JSON_TYPE = 0xA55A0002
    TEXT_TYPE = 0xA55A0003
    LEVEL_BITS = { nil => 0x00, 'DEBUG' => 0x08, 'INFO' => 0x0C, 'WARN' => 0x10, 'ERROR' => 0x14, 'FATAL' => 0x18 }.freeze
    CONTINUED = 0x40
    HEAD_BYTES = 16
    ROOM = 4096 - HEAD_BYTES

    # The one whose descriptor the environment names, taken out of it so that no program of the function's finds it; nil without.
    def self.taken
      number = ENV.delete('_LAMBDA_TELEMETRY_LOG_FD')
      number && new(IO.for_fd(Integer(number, 10), 'wb', autoclose: false))
    rescue ArgumentError, SystemCallError
      nil
    end

    def initialize(io)
      @io = io
      @io.sync = true
      @last_time = 0
      @lock = Mutex.new
    end

    def write(text, level = nil, type = TEXT_TYPE)
      data = text.b
      kind = type | LEVEL_BITS.fetch(level, 0)
      @lock.synchronize do
        # No two messages have the same time: it is what holds the frames of one together.
        @last_time = [::Process.clock_gettime(::Process::CLOCK_REALTIME, :microsecond), @last_time + 1].max
        send_frame(kind | CONTINUED, data.slice!(0, ROOM)) while data.bytesize > ROOM
        send_frame(kind, data)
      end
    end

    private

    def send_frame(kind, data)
      @io.write([kind, data.bytesize, @last_time].pack('NNQ>') << data)
    end
  end

  # Standard streams, `puts` and `Logger` as functions find them on AWS: nothing held back, one log event per message.
  module Log
    SEVERITIES = { 'TRACE' => 0, 'DEBUG' => 0, 'INFO' => 1, 'WARN' => 2, 'ERROR' => 3, 'FATAL' => 4 }.freeze
    FIRST_WITH_JSON = [4, 0].freeze # of AWS's Ruby runtimes

    class << self
      attr_accessor :request_id, :tenant_id # the second only where the function has tenants
      attr_reader :frames

      def set_up
        $stdout.sync = $stderr.sync = true
        @stdout = $stdout
        @frames = Frames.taken
        @is_json = json_wanted?
        patch_puts if @frames
        patch_logger
      end

      # One log event, where the function has left standard output as it was; false where it has not.
      def write(text, level = nil)
        return false unless @frames && $stdout.equal?(@stdout)

        @frames.write(text, level, @is_json && level ? Frames::JSON_TYPE : Frames::TEXT_TYPE)
        true
      end

      # Writes past whatever the function made of its streams.
      def write_error(fault, heading)
        @is_json ? write_json_error(fault) : write_text_error(fault, heading)
      rescue SystemCallError, IOError
        nil # the function closed its own output; nobody is left to be told
      end

      def json?
        @is_json
      end

      def console?(device)
        device.nil? ? false : device.equal?(@stdout) || device.equal?(STDERR)
      end

      def default_severity
        SEVERITIES[ENV['AWS_LAMBDA_LOG_LEVEL'].to_s.upcase]
      end

      private

      def write_text_error(fault, heading)
        text = "#{heading}\n#{JSON.pretty_generate(fault.to_h)}"
        if @frames
          @frames.write(text, 'ERROR')
        else
          STDOUT.write("#{text.tr("\n", "\r")}\n")
        end
      end

      def write_json_error(fault)
        head = { 'timestamp' => Time.now.utc.iso8601(3), 'level' => 'ERROR' }
        head['tenantId'] = tenant_id if tenant_id
        line = JSON.generate(head.merge(fault.to_h, 'requestId' => request_id.to_s))
        @frames ? @frames.write(line, 'ERROR', Frames::JSON_TYPE) : STDOUT.write("#{line}\n")
      end

      def json_wanted?
        return false unless ENV['AWS_LAMBDA_LOG_FORMAT'].to_s.casecmp('JSON').zero?

        version = ENV['AWS_EXECUTION_ENV'].to_s[/ruby(\d+\.\d+)/, 1] || RUBY_VERSION
        (version.split('.').first(2).map(&:to_i) <=> FIRST_WITH_JSON) >= 0
      end

      # `puts` without a receiver: what it is given is one log event, however many lines that has. It is put into Kernel itself,
      # since before Ruby 3.0 a module that is put before Kernel reaches no class that has Kernel already.
      def patch_puts
        original = ::Kernel.instance_method(:puts)
        ::Kernel.module_eval do
          define_method(:puts) do |*arguments|
            text = arguments.flatten.map { |one| Fault.text(one) }.join("\n")
            Log.write(text.empty? ? "\n" : text) ? nil : original.bind(self).call(*arguments)
          end
          private :puts
        end
      end

      def patch_logger
        require 'logger'
        require_relative 'lambda_runtime_logger'
        ::Logger.prepend(LoggerPatch)
      rescue LoadError
        nil # this Ruby has none by itself
      end
    end
  end
end
