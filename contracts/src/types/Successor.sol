// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LogId} from "./LogId.sol";

/// @dev Where a retired log goes on: a log of a ledger on a chain, which may be another one.
struct Successor {
    uint256 chainId;
    address ledger;
    LogId log;
}
