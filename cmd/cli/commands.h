/* cli/commands.h - what each command does. Each returns the exit code and has reported its own failures. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cmd/cli/arguments.h"

int command_serve(const struct arguments *arguments);
int command_join(const struct arguments *arguments);
int command_leave(const struct arguments *arguments);
int command_remove(const struct arguments *arguments);
int command_recover(const struct arguments *arguments);
int command_members(const struct arguments *arguments);
int command_group_list(const struct arguments *arguments);
int command_group_describe(const struct arguments *arguments);
int command_group_lag(const struct arguments *arguments);
int command_group_reset(const struct arguments *arguments);
int command_group_delete(const struct arguments *arguments);
int command_key_show(const struct arguments *arguments);
int command_key_generate(const struct arguments *arguments);
int command_key_list(const struct arguments *arguments);
int command_key_rotate(const struct arguments *arguments);
int command_user_add(const struct arguments *arguments);
int command_user_list(const struct arguments *arguments);
int command_user_passwd(const struct arguments *arguments);
int command_user_remove(const struct arguments *arguments);
int command_topic_create(const struct arguments *arguments);
int command_topic_list(const struct arguments *arguments);
int command_topic_describe(const struct arguments *arguments);
int command_topic_alter(const struct arguments *arguments);
int command_topic_delete(const struct arguments *arguments);
int command_topic_move(const struct arguments *arguments);
int command_topic_balance(const struct arguments *arguments);
int command_topic_trim(const struct arguments *arguments);
int command_produce(const struct arguments *arguments);
int command_consume(const struct arguments *arguments);
int command_status(const struct arguments *arguments);
int command_doctor(const struct arguments *arguments);
int command_drain(const struct arguments *arguments);
int command_events(const struct arguments *arguments);
int command_config_list(const struct arguments *arguments);
int command_config_get(const struct arguments *arguments);
int command_config_set(const struct arguments *arguments);
int command_config_unset(const struct arguments *arguments);
int command_top(const struct arguments *arguments);
int command_why(const struct arguments *arguments);
int command_bench_produce(const struct arguments *arguments);
int command_bench_consume(const struct arguments *arguments);
int command_bench_latency(const struct arguments *arguments);
int command_bench_groups(const struct arguments *arguments);
int command_version(const struct arguments *arguments);
int command_help(const struct arguments *arguments);

#endif
