--[[ A kind of dead letters, or of held UNKNOWNs, is told of once, whoever asks, until there is none of it any more.
  KEYS[1] tag of the first partition, for all of them   ARGV[1] fingerprint
  Returns 1, or 0: it was told of before. ]]
return redis.call('HSETNX', DEAD_TOLD, ARGV[1], AT_TEXT)
