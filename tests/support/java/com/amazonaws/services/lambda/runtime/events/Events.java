package com.amazonaws.services.lambda.runtime.events;

import java.nio.ByteBuffer;
import java.time.ZonedDateTime;
import java.util.Date;
import java.util.List;
import java.util.Map;

/** Classes with the traits of those in aws-lambda-java-events, in its package. */
public class Events {
    /** Only a constructor with everything, as S3EventNotification and what it holds. */
    public static class Storage {
        private final List<StorageRecord> records;

        public Storage(List<StorageRecord> records) {
            this.records = records;
        }

        public List<StorageRecord> getRecords() {
            return records;
        }
    }

    public static class StorageRecord {
        private final String awsRegion;
        private ZonedDateTime eventTime;
        private final long size;
        private final String xAmzRequestId;

        public StorageRecord(String awsRegion, String eventTime, long size, String xAmzRequestId) {
            this.awsRegion = awsRegion;
            this.eventTime = eventTime == null ? null : ZonedDateTime.parse(eventTime);
            this.size = size;
            this.xAmzRequestId = xAmzRequestId;
        }

        @Override
        public String toString() {
            return awsRegion + " " + eventTime + " " + size + " " + xAmzRequestId;
        }
    }

    /** Getters, setters and fields that disagree about letters, as SNSEvent, SQSEvent and AttributeValue. */
    public static class Message {
        private String sns;
        private String eventSourceArn;
        private String detailType;
        private Date time;
        private ByteBuffer data;
        private Boolean nULLValue;
        private Map<String, Message> m;

        public String getSNS() {
            return sns;
        }

        public void setSns(String sns) {
            this.sns = sns;
        }

        public void setEventSourceArn(String eventSourceArn) {
            this.eventSourceArn = eventSourceArn;
        }

        public void setDetailType(String detailType) {
            this.detailType = detailType;
        }

        public void setTime(Date time) {
            this.time = time;
        }

        public void setData(ByteBuffer data) {
            this.data = data;
        }

        public Boolean isNULL() {
            return nULLValue;
        }

        public void setNULL(Boolean value) {
            this.nULLValue = value;
        }

        public void setM(Map<String, Message> m) {
            this.m = m;
        }

        @Override
        public String toString() {
            return sns + " " + eventSourceArn + " " + detailType + " " + (time == null ? 0 : time.getTime()) + " "
                    + (data == null ? 0 : data.remaining()) + " " + nULLValue + " " + m;
        }
    }

    /** As APIGatewayV2HTTPResponse. */
    public static class Response {
        private int statusCode = 200;
        private boolean isBase64Encoded;

        public int getStatusCode() {
            return statusCode;
        }

        public boolean isBase64Encoded() {
            return isBase64Encoded;
        }

        public void setBase64Encoded(boolean isBase64Encoded) {
            this.isBase64Encoded = isBase64Encoded;
        }
    }

    public String storage(Storage event) {
        return event.getRecords().toString();
    }

    public String message(Message event) {
        return event.toString();
    }

    public Response response(Response event) {
        return event;
    }
}
