%% The clock, and what a client reports of its work.
-module(bench_clock).

-export([start/1, seconds/1, stop/2, stop/3]).
-export([gain/2, cost/2, megabytes/2, latencies/1, resident/1, print/1]).

-define(CLOCK_TICKS_PER_SECOND, 100).

-record(clock, {job, client, server, began}).

%% Starts the clock, and notes the CPU time that both sides have used so far.
start(Job = #{server_pids := Pids}) ->
    #clock{job = Job, client = cpu([os:getpid()]), server = cpu(Pids), began = now_ns()}.

seconds(#clock{began = Began}) -> (now_ns() - Began) / 1.0e9.

%% For work whose figure is a rate of its messages.
stop(Clock = #clock{job = #{count := Count}}, Name) ->
    stop(Clock, Count, [gain(Name, Count / seconds(Clock))]).

%% For work of which Count was done and figures were found.
stop(Clock = #clock{job = #{server_pids := Pids}}, Count, Figures) ->
    Seconds = seconds(Clock),
    [
        {<<"count">>, Count},
        {<<"seconds">>, Seconds},
        {<<"client_cpu_seconds">>, cpu([os:getpid()]) - Clock#clock.client},
        {<<"server_cpu_seconds">>, cpu(Pids) - Clock#clock.server},
        {<<"client_peak_bytes">>, status("VmHWM:", [os:getpid()])},
        {<<"server_peak_bytes">>, status("VmHWM:", Pids)},
        {<<"figures">>, Figures}
    ].

gain(Name, Value) -> figure(Name, Value, true).

cost(Name, Value) -> figure(Name, Value, false).

figure(Name, Value, MoreIsBetter) ->
    {[{<<"name">>, Name}, {<<"value">>, Value}, {<<"more_is_better">>, MoreIsBetter}]}.

%% The rate at which 1 MiB messages went.
megabytes(Count, Seconds) -> gain(<<"MB/s">>, Count * (1 bsl 20) / 1.0e6 / Seconds).

%% The median and the 99th percentile of some times in nanoseconds.
latencies(Took) ->
    Sorted = list_to_tuple(lists:sort(Took)),
    At = fun(Fraction) ->
        element(max(ceil(tuple_size(Sorted) * Fraction), 1), Sorted) / 1000
    end,
    [cost(<<"p50 µs"/utf8>>, At(0.5)), cost(<<"p99 µs"/utf8>>, At(0.99))].

resident(Pids) -> status("VmRSS:", Pids).

%% One line of JSON.
print(Measured) ->
    ok = io:setopts([{encoding, unicode}]),
    io:put_chars([json({Measured}), $\n]).

%% A list is an array, and one within a tuple an object.
json({Members}) -> [${, lists:join($,, [[json(Key), $:, json(Value)] || {Key, Value} <- Members]), $}];
json(List) when is_list(List) -> [$[, lists:join($,, [json(Value) || Value <- List]), $]];
json(Text) when is_binary(Text) -> [$", Text, $"];
json(Value) -> io_lib:format("~p", [Value]).

now_ns() -> erlang:monotonic_time(nanosecond).

%% Seconds that all threads of these processes have used, user and system.
cpu(Pids) -> lists:sum([cpu_of(Pid) || Pid <- Pids]).

cpu_of(Pid) ->
    {ok, Stat} = file:read_file(["/proc/", Pid, "/stat"]),
    %% The name, in brackets, is the only field that may have blanks; behind it come fields 3 and on.
    [_, AfterName] = string:split(Stat, ") ", trailing),
    Fields = string:lexemes(AfterName, " "),
    User = binary_to_integer(lists:nth(12, Fields)),
    System = binary_to_integer(lists:nth(13, Fields)),
    (User + System) / ?CLOCK_TICKS_PER_SECOND.

%% Adds up one entry of /proc/PID/status, in bytes.
status(Key, Pids) -> lists:sum([status_of(Key, Pid) || Pid <- Pids]).

status_of(Key, Pid) ->
    {ok, Status} = file:read_file(["/proc/", Pid, "/status"]),
    [_, Rest] = string:split(Status, Key),
    [Kilobytes | _] = string:lexemes(Rest, " \t\n"),
    binary_to_integer(Kilobytes) * 1024.
