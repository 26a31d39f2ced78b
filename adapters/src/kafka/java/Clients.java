// Clients of Kafka's own Java library, driven line by line: see mod.rs, which says what the lines mean.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

final class Clients {
    private Clients() {}

    /** A line is a list of texts. */
    static final ObjectMapper JSON = new ObjectMapper();

    static final Map<String, Client> CLIENTS = new ConcurrentHashMap<>();

    /** Arguments: the port to connect to, and the brokers. */
    public static void main(String[] arguments) throws Exception {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0]));
        socket.setTcpNoDelay(true);
        Answers.to(new BufferedWriter(new OutputStreamWriter(socket.getOutputStream(), StandardCharsets.UTF_8)));
        warmUp(arguments[1]);
        Answers.say("ready");
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            take(new Command(JSON.readValue(line, String[].class)));
        }
        // Whoever drove the clients is gone: so are they, and nobody is told.
        Runtime.getRuntime().halt(0);
    }

    /** Loads the classes, so that the first clients of a run do not wait for that. */
    private static void warmUp(String brokers) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put("client.id", "squall-warm-up");
        new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer()).close(Duration.ZERO);
        settings.put("group.id", "squall-warm-up");
        for (String protocol : new String[] {"classic", "consumer"}) {
            settings.put("group.protocol", protocol);
            new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())
                    .close(CloseOptions.timeout(Duration.ZERO));
        }
    }

    private static void take(Command command) {
        if (command.is("producer") || command.is("consumer")) {
            Client client = command.is("producer") ? new Sender(command.handle) : new Reader(command.handle);
            CLIENTS.put(command.handle, client);
            new Thread(client, command.verb + "-" + command.handle).start();
        }
        Client client = CLIENTS.get(command.handle);
        if (client == null) {
            return;
        }
        if (command.is("end")) {
            CLIENTS.remove(command.handle);
            client.end();
        }
        // Also the last one: who waits for a command has to hear of the end.
        client.commands.add(command);
    }
}

/** One line that came in: a verb, the client that it is for, the call that it answers to, and what is said besides. */
final class Command {
    final String verb;
    final String handle;
    final String call;
    final List<String> rest;

    Command(String[] fields) {
        verb = fields[0];
        handle = fields[1];
        call = fields[2];
        rest = Arrays.asList(fields).subList(3, fields.length);
    }

    boolean is(String other) {
        return verb.equals(other);
    }

    /** The fields from this one on, `name=value` each. */
    Properties settings(int from) {
        Properties settings = new Properties();
        for (String field : rest.subList(from, rest.size())) {
            int equals = field.indexOf('=');
            settings.put(field.substring(0, equals), field.substring(equals + 1));
        }
        return settings;
    }

    /** The fields from this one on, `topic/partition/offset` each. */
    Map<TopicPartition, OffsetAndMetadata> places(int from) {
        Map<TopicPartition, OffsetAndMetadata> places = new HashMap<>();
        for (String field : rest.subList(from, rest.size())) {
            String[] parts = field.split("/");
            TopicPartition unit = new TopicPartition(parts[0], Integer.parseInt(parts[1]));
            places.put(unit, new OffsetAndMetadata(Long.parseLong(parts[2])));
        }
        return places;
    }

    byte[] bytes(int place) {
        String field = rest.get(place);
        return field.equals("-") ? null : HexFormat.of().parseHex(field);
    }
}

/** The lines that go out. */
final class Answers {
    private static BufferedWriter writer;

    private Answers() {}

    static void to(BufferedWriter out) {
        writer = out;
    }

    static void say(String... fields) {
        synchronized (Answers.class) {
            try {
                writer.write(Clients.JSON.writeValueAsString(fields) + '\n');
                writer.flush();
            } catch (IOException gone) {
                Runtime.getRuntime().halt(0);
            }
        }
    }

    /** `before`: whether nothing was sent to a broker. */
    static void failed(String handle, String call, Throwable error, boolean before) {
        say("failed", handle, call, before ? "before" : "after", code(error), name(error), kind(error), says(error));
    }

    /** An error that nobody asked for. */
    static void error(String handle, Throwable error) {
        say("error", handle, code(error), name(error), kind(error), says(error));
    }

    private static Throwable cause(Throwable error) {
        return error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
    }

    /** The number of the protocol's error that this is, or 0. */
    private static String code(Throwable error) {
        short code = Errors.forException(cause(error)).code();
        return String.valueOf(code == Errors.UNKNOWN_SERVER_ERROR.code() ? 0 : code);
    }

    private static String name(Throwable error) {
        return cause(error).getClass().getSimpleName();
    }

    private static String kind(Throwable error) {
        return cause(error) instanceof RetriableException ? "retriable" : "refused";
    }

    private static String says(Throwable error) {
        return String.valueOf(cause(error).getMessage());
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }
}

/** A client: a thread that carries out one command after the other. */
abstract class Client implements Runnable {
    final String handle;
    final LinkedBlockingQueue<Command> commands = new LinkedBlockingQueue<>();
    volatile boolean ended;

    Client(String handle) {
        this.handle = handle;
    }

    /** Ends without ceremony, on whatever thread this is called. */
    abstract void end();

    void done(Command command, String... besides) {
        String[] fields = new String[3 + besides.length];
        fields[0] = "done";
        fields[1] = handle;
        fields[2] = command.call;
        System.arraycopy(besides, 0, fields, 3, besides.length);
        Answers.say(fields);
    }
}

/** A producer. */
final class Sender extends Client {
    private KafkaProducer<byte[], byte[]> producer;
    private boolean handing;

    Sender(String handle) {
        super(handle);
    }

    @Override
    void end() {
        ended = true;
        KafkaProducer<byte[], byte[]> open = producer;
        if (open != null) {
            // Its own thread may wait within a send; this closes under it.
            new Thread(() -> open.close(Duration.ZERO), "end-" + handle).start();
        }
    }

    @Override
    public void run() {
        try {
            while (!ended) {
                Command command = commands.take();
                try {
                    carryOut(command);
                } catch (RuntimeException error) {
                    Answers.failed(handle, command.call, error, command.is("send") || command.is("producer"));
                }
            }
        } catch (InterruptedException over) {
            Thread.currentThread().interrupt();
        }
    }

    private void carryOut(Command command) {
        switch (command.verb) {
            case "producer":
                producer = new KafkaProducer<>(
                        command.settings(0), new ByteArraySerializer(), new ByteArraySerializer());
                done(command);
                break;
            case "send":
                send(command);
                break;
            case "init":
                producer.initTransactions();
                done(command);
                break;
            case "begin":
                producer.beginTransaction();
                done(command);
                break;
            case "positions":
                producer.sendOffsetsToTransaction(command.places(2), member(command));
                done(command);
                break;
            case "commit":
                producer.commitTransaction();
                done(command);
                break;
            case "abort":
                producer.abortTransaction();
                done(command);
                break;
            default:
                break;
        }
    }

    /** The membership of a consumer of ours, or none: then only the group's name counts. */
    @SuppressWarnings("removal")
    private static ConsumerGroupMetadata member(Command command) {
        Client reader = Clients.CLIENTS.get(command.rest.get(1));
        return reader instanceof Reader
                ? ((Reader) reader).membership
                : new ConsumerGroupMetadata(command.rest.get(0));
    }

    /** Topic, partition, key, value, and the headers: a name and a value each. */
    private void send(Command command) {
        List<Header> headers = new ArrayList<>();
        for (int place = 4; place + 1 < command.rest.size(); place += 2) {
            headers.add(new RecordHeader(command.rest.get(place), command.bytes(place + 1)));
        }
        String partition = command.rest.get(1);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                command.rest.get(0),
                partition.equals("-") ? null : Integer.valueOf(partition),
                command.bytes(2),
                command.bytes(3),
                headers);
        handing = true;
        try {
            producer.send(record, (place, error) -> {
                if (error == null) {
                    done(command, String.valueOf(place.partition()), String.valueOf(place.offset()));
                } else {
                    // Called back from within the send itself, the record never left the caller's hands.
                    boolean before = handing && Thread.currentThread().getName().equals("producer-" + handle);
                    Answers.failed(handle, command.call, error, before);
                }
            });
        } finally {
            handing = false;
        }
    }
}

/** A consumer. It polls only while it is told that somebody waits. */
final class Reader extends Client implements ConsumerRebalanceListener {
    private static final Duration SLICE = Duration.ofMillis(20);
    private static final long LAST_WORD = TimeUnit.SECONDS.toMillis(5);
    private static final Duration COMMITTED_WITHIN = Duration.ofSeconds(1);

    private KafkaConsumer<byte[], byte[]> consumer;
    private boolean wanted;
    private boolean closed;
    private final Set<TopicPartition> owned = new HashSet<>();
    volatile ConsumerGroupMetadata membership;

    Reader(String handle) {
        super(handle);
    }

    @Override
    void end() {
        ended = true;
    }

    @Override
    public void run() {
        try {
            while (!ended && !closed) {
                Command command = wanted ? commands.poll() : commands.take();
                if (command != null) {
                    carryOut(command);
                } else {
                    poll();
                }
            }
        } catch (InterruptedException over) {
            Thread.currentThread().interrupt();
        }
        Clients.CLIENTS.remove(handle);
        if (consumer != null && !closed) {
            consumer.close(CloseOptions.groupMembershipOperation(
                            CloseOptions.GroupMembershipOperation.REMAIN_IN_GROUP)
                    .withTimeout(Duration.ZERO));
        }
    }

    private void poll() {
        try {
            ConsumerRecords<byte[], byte[]> records = consumer.poll(SLICE);
            if (membership != null) {
                membership = consumer.groupMetadata();
            }
            for (ConsumerRecord<byte[], byte[]> record : records) {
                tell(record);
            }
            if (!records.isEmpty()) {
                wanted = false;
                Answers.say("polled", handle);
            }
        } catch (RuntimeException error) {
            Answers.error(handle, error);
            if (!(error instanceof RetriableException)) {
                wanted = false;
                Answers.say("finished", handle);
            }
        }
    }

    private void tell(ConsumerRecord<byte[], byte[]> record) {
        List<String> fields = new ArrayList<>(List.of(
                "record", handle, record.topic(), String.valueOf(record.partition()),
                String.valueOf(record.offset()), Answers.hex(record.key()), Answers.hex(record.value())));
        for (Header header : record.headers()) {
            fields.add(header.key());
            fields.add(Answers.hex(header.value()));
        }
        Answers.say(fields.toArray(new String[0]));
    }

    private void carryOut(Command command) {
        try {
            switch (command.verb) {
                case "consumer":
                    open(command);
                    done(command);
                    break;
                case "poll":
                    wanted = true;
                    break;
                case "commit":
                    consumer.commitSync(command.places(0));
                    done(command);
                    break;
                case "seek":
                    command.places(0).forEach((unit, place) -> {
                        if (owned.contains(unit)) {
                            consumer.seek(unit, place.offset());
                        }
                    });
                    done(command);
                    break;
                case "close":
                    closed = true;
                    consumer.close();
                    done(command);
                    break;
                default:
                    break;
            }
        } catch (RuntimeException error) {
            Answers.failed(handle, command.call, error, command.is("consumer"));
        }
    }

    /** Places to read from, or topics, with `place:` or `topic:` before each; then the settings. */
    private void open(Command command) {
        int kinds = 0;
        List<String> topics = new ArrayList<>();
        Map<TopicPartition, Long> places = new HashMap<>();
        for (String field : command.rest) {
            if (field.startsWith("topic:")) {
                topics.add(field.substring("topic:".length()));
            } else if (field.startsWith("place:")) {
                String[] parts = field.substring("place:".length()).split("/");
                TopicPartition unit = new TopicPartition(parts[0], Integer.parseInt(parts[1]));
                places.put(unit, parts[2].equals("-") ? null : Long.valueOf(parts[2]));
            } else {
                break;
            }
            kinds++;
        }
        Properties settings = command.settings(kinds);
        consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        if (places.isEmpty()) {
            membership = consumer.groupMetadata();
            consumer.subscribe(topics, this);
            return;
        }
        owned.addAll(places.keySet());
        consumer.assign(places.keySet());
        places.forEach((unit, offset) -> {
            if (offset == null) {
                consumer.seekToBeginning(List.of(unit));
            } else {
                consumer.seek(unit, offset);
            }
        });
    }

    private void units(String verb, Collection<TopicPartition> units, Map<TopicPartition, OffsetAndMetadata> at) {
        List<String> fields = new ArrayList<>(List.of(verb, handle));
        for (TopicPartition unit : units) {
            OffsetAndMetadata place = at.get(unit);
            fields.add(unit.topic() + "/" + unit.partition() + "/" + (place == null ? "-" : place.offset()));
        }
        Answers.say(fields.toArray(new String[0]));
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> units) {
        owned.addAll(units);
        Map<TopicPartition, OffsetAndMetadata> committed = Map.of();
        try {
            if (!units.isEmpty()) {
                committed = consumer.committed(new HashSet<>(units), COMMITTED_WITHIN);
            }
        } catch (RuntimeException unknown) {
            // Where the group goes on is told when it is known.
        }
        units("assigned", units, committed);
    }

    /** Commits are still carried out until whoever listens has heard of it. */
    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> units) {
        owned.removeAll(units);
        units("revoked", units, Map.of());
        long end = System.currentTimeMillis() + LAST_WORD;
        try {
            while (!ended && !closed) {
                Command command = commands.poll(end - System.currentTimeMillis(), TimeUnit.MILLISECONDS);
                if (command == null || command.is("heard")) {
                    return;
                }
                carryOut(command);
            }
        } catch (InterruptedException over) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> units) {
        owned.removeAll(units);
        units("lost", units, Map.of());
    }
}
