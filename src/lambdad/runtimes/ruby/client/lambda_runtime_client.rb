# frozen_string_literal: true

require 'socket'

module LambdaRuntime
  # The Runtime API is gone or refused something that it should not have; the process has to end.
  class ApiError < StandardError; end

  # The environment is being taken down, and nobody is to hear of that.
  class ApiClosed < ApiError; end

  # What the Runtime API said.
  class Answer
    attr_reader :status, :body

    def initialize(head, body)
      @head = head
      @status = head[9, 3].to_i # after "HTTP/1.1 "
      @body = body
    end

    # By lower-case name.
    def headers
      @headers ||= lines.each_with_object({}) do |line, headers|
        name, _, value = line.partition(':')
        headers[name.downcase] = value.strip
      end
    end

    # The value of a header in whatever case, or nil.
    def [](name)
      headers[name.downcase]
    end

    private

    def lines
      @head.dup.force_encoding(Encoding::UTF_8).scrub.split("\r\n").drop(1)
    end
  end

  # The Runtime API as a blocking HTTP/1.1 client on one kept-alive connection, used by the main thread only.
  #
  # An answer and the question for the next invocation leave in one write, so that a warm invocation costs this side one write and
  # one or two reads.
  class Client
    API = '/2018-06-01/runtime/'
    # The service's own limit, 6 MiB + 100 bytes. Longer answers are refused with 413, perhaps before they were read to their
    # end, so they are sent with an eye on the answer and without a second request behind them.
    MAX_RESPONSE_BYTES = (6 * 1024 * 1024) + 100
    READ_BYTES = 65_536

    # `address` is "host:port".
    def initialize(address)
      @address = address
      @next_request = "GET #{API}invocation/next HTTP/1.1\r\nHost: #{address}\r\n\r\n"
      @asked = false # whether the request for the next invocation is already on its way
      connect
    end

    # Waits, without any limit, for an invocation; the process may be frozen meanwhile.
    def next
      write(@next_request) unless @asked
      @asked = false
      answer = read_answer
      raise ApiError, "the Runtime API refused an invocation: #{text(answer)}" unless answer.status == 200

      answer
    end

    def respond(request_id, body, content_type)
      send_answer("invocation/#{request_id}/response", body, "Content-Type: #{content_type}", is_last: false)
    end

    def report_error(request_id, body, error_type, is_last:)
      send_answer("invocation/#{request_id}/error", body, error_headers(error_type), is_last: is_last)
    end

    def report_init_error(body, error_type)
      write(post('init/error', body, error_headers(error_type)))
      read_answer
    end

    private

    def send_answer(path, body, headers, is_last:)
      message = post(path, body, headers)
      return answer_too_long(message) if body.bytesize > MAX_RESPONSE_BYTES

      write(is_last ? message : message << @next_request)
      @asked = !is_last
      check(read_answer)
    end

    # Sends until an answer comes or all is sent, then starts afresh: what follows on this connection is undefined.
    def answer_too_long(message)
      sent = 0
      while sent < message.bytesize
        readable, = IO.select([@socket], [@socket])
        break unless readable.empty?

        count = @socket.write_nonblock(message.byteslice(sent, READ_BYTES), exception: false)
        sent += count unless count == :wait_writable
      end
      finish_too_long(sent < message.bytesize)
    rescue Errno::EPIPE, Errno::ECONNRESET
      finish_too_long(true)
    end

    def finish_too_long(is_cut)
      answer = read_answer
      check(answer)
      return unless is_cut || answer.headers['connection'].to_s.casecmp('close').zero?

      @socket.close
      connect
    end

    # In bytes.
    def post(path, body, headers)
      head = "POST #{API}#{path} HTTP/1.1\r\nHost: #{@address}\r\nContent-Length: #{body.bytesize}\r\n#{headers}\r\n\r\n"
      head.b << body.b
    end

    # A class name may hold any letter; a header may not.
    def error_headers(error_type)
      name = error_type.encode('US-ASCII', invalid: :replace, undef: :replace)
      "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: #{name}"
    end

    def connect
      host, _, port = @address.rpartition(':')
      @socket = TCPSocket.new(host, Integer(port, 10))
      @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      @received = String.new
    rescue SystemCallError, SocketError, ArgumentError => e
      raise ApiError, "the Runtime API at '#{@address}' cannot be reached: #{e.message}"
    end

    def write(message)
      @socket.write(message)
    rescue Errno::EPIPE, Errno::ECONNRESET
      raise ApiClosed, 'the Runtime API closed the connection'
    end

    def read_answer
      read_more until (end_of_head = @received.index("\r\n\r\n"))
      head = @received.byteslice(0, end_of_head)
      length = head[/\r\ncontent-length: *(\d+)/i, 1].to_i
      start = end_of_head + 4
      read_more while @received.bytesize < start + length
      body = @received.byteslice(start, length)
      @received = @received.byteslice(start + length, @received.bytesize)
      Answer.new(head, body)
    end

    def read_more
      @received << @socket.readpartial(READ_BYTES)
    rescue EOFError, Errno::ECONNRESET
      raise ApiClosed, 'the Runtime API closed the connection'
    end

    # 413 has been told to the caller already, and the environment goes on; whatever else is refused must not be lost.
    def check(answer)
      return if answer.status.between?(200, 299) || answer.status == 413

      raise ApiError, "the Runtime API refused an answer: #{text(answer)}"
    end

    def text(answer)
      "#{answer.status} #{answer.body.byteslice(0, 500).force_encoding(Encoding::UTF_8).scrub}"
    end
  end
end
