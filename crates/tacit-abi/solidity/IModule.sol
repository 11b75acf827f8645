// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// What every module answers to a call that never reaches one of its methods.
interface IModule {
    /// No method has this selector (shorter input is padded with zeros).
    error UnknownSelector(bytes4 selector);
    /// The arguments are not the ABI encoding of this method's parameters.
    error MalformedInput(bytes4 selector);
    /// Coin was sent to a method that takes none.
    error NotPayable();
    /// A method that writes was called inside a static call.
    error StaticCall();
    /// Modules run in their own storage only: no DELEGATECALL, no CALLCODE.
    error DelegateCall();
}
